"""Tools: odd streams, parallel calls, arguments that are no JSON, agents."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.tools import FunctionTool

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


def piece(
    index: Any = None, id_: str | None = None, name: str | None = None, arguments: str | None = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    found: dict[str, Any] = {
        "index": index,
        "id": id_,
        "function": {k: v for k, v in function.items() if v is not None},
    }
    return {key: value for key, value in found.items() if value is not None}


# Each chunk's `tool_calls`; every one of them means add(a=1), add(a=2).
ODD_STREAMS: dict[str, list[list[dict[str, Any]]]] = {
    "two in one chunk": [
        [piece(0, "c1", "add", '{"a": 1}'), piece(1, "c2", "add", '{"a": 2}')],
    ],
    "interleaved": [
        [piece(0, "c1", "add", "")],
        [piece(1, "c2", "add", "")],
        [piece(0, arguments='{"a"')],
        [piece(1, arguments='{"a"')],
        [piece(0, arguments=": 1}")],
        [piece(1, arguments=": 2}")],
    ],
    "id and name in every piece": [
        [piece(0, "c1", "add", '{"a"')],
        [piece(0, "c1", "add", ": 1}")],
        [piece(1, "c2", "add", '{"a"')],
        [piece(1, "c2", "add", ": 2}")],
    ],
    "no index": [
        [piece(None, "c1", "add", '{"a"')],
        [piece(None, arguments=": 1}")],
        [piece(None, "c2", "add", '{"a": 2}')],
    ],
    "all at index 0": [
        [piece(0, "c1", "add", '{"a": 1}')],
        [piece(0, "c2", "add", '{"a": 2}')],
    ],
    "ids and no index, interleaved": [
        [piece(None, "c1", "add", "")],
        [piece(None, "c2", "add", "")],
        [piece(None, "c1", arguments='{"a": ')],
        [piece(None, "c2", arguments='{"a": ')],
        [piece(None, "c1", arguments="1}"), piece(None, "c2", arguments="2}")],
    ],
    "all at index 0, in one chunk": [
        [piece(0, "c1", "add", '{"a": 1}'), piece(0, "c2", "add", '{"a": 2}')],
    ],
    "index as a string": [
        [piece("0", "c1", "add", '{"a": 1}')],
        [piece("1", "c2", "add", '{"a": ')],
        [piece("1", arguments="2}")],
    ],
}


def stream(chunks: list[list[dict[str, Any]]], **faults: Any) -> Reply:
    deltas: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"tool_calls": calls}}]} for calls in chunks]
    return Reply.chunks([*deltas, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}], **faults)


async def collect(llm: KiloCode, *, is_async: bool, **settings: Any) -> list[ChatResponse]:
    if is_async:
        return [response async for response in await llm.astream_chat_with_tools([TOOL], user_msg="Add.", **settings)]
    return list(llm.stream_chat_with_tools([TOOL], user_msg="Add.", **settings))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("case", list(ODD_STREAMS))
async def test_streamed_calls_are_read_however_they_are_numbered(
    llm: KiloCode, gateway: LocalGateway, case: str, is_async: bool
) -> None:
    gateway.script(stream(ODD_STREAMS[case]))
    responses = await collect(llm, is_async=is_async, allow_parallel_tool_calls=True)
    calls = llm.get_tool_calls_from_response(responses[-1])
    assert [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls] == [
        ("c1", "add", {"a": 1}),
        ("c2", "add", {"a": 2}),
    ]
    for response in responses:  # an agent reads the calls of every piece
        llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)


@pytest.mark.parametrize("is_async", [False, True])
async def test_one_call_only_unless_parallel_ones_are_allowed(
    llm: KiloCode, gateway: LocalGateway, is_async: bool
) -> None:
    calls = [{"id": "c1", "name": "add", "arguments": '{"a": 1}'}, {"id": "c2", "name": "add", "arguments": '{"a": 2}'}]
    gateway.script(*[Reply.text("", tool_calls=calls)] * 4)
    for allowed, expected in ((False, ["c1"]), (True, ["c1", "c2"])):
        responses = await collect(llm, is_async=is_async, allow_parallel_tool_calls=allowed)
        if is_async:
            whole = await llm.achat_with_tools([TOOL], user_msg="Add.", allow_parallel_tool_calls=allowed)
        else:
            whole = llm.chat_with_tools([TOOL], user_msg="Add.", allow_parallel_tool_calls=allowed)
        for response in (responses[-1], whole):
            blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
            assert [block.tool_call_id for block in blocks] == expected
            assert [call["id"] for call in response.message.additional_kwargs["tool_calls"]] == expected


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_late_name_is_known_while_the_call_grows(llm: KiloCode, gateway: LocalGateway, is_async: bool) -> None:
    chunks = [[piece(0, "c1", arguments="")], [piece(0, name="add")], [piece(0, arguments='{"a": 1}')]]
    gateway.script(stream(chunks, split="event"))
    responses = await collect(llm, is_async=is_async)
    grown = [response for response in responses if response.message.additional_kwargs.get("tool_calls")]
    told = [response.message.additional_kwargs["tool_calls"][0]["function"]["name"] for response in grown]
    assert told == ["", "add", "add", "add"]
    assert [block.tool_name for response in grown for block in response.message.blocks] == told


BROKEN = [
    "not JSON",
    '{"path": "notes.t',
    '{"path": "notes.txt", "mo',
    '{"path": "notes.txt"',
    "[1, 2]",
    '"notes.txt"',
    "[" * 9_999,
]


def called(arguments: str, *, finish_reason: str = "tool_calls", name: str = "remove") -> Reply:
    return Reply.text("", tool_calls=[{"id": "c1", "name": name, "arguments": arguments}], finish_reason=finish_reason)


async def chat_with_tools(way: str, llm: KiloCode, tools: list[Any]) -> ChatResponse:
    answer = getattr(llm, way)(tools, user_msg="Remove the file.")
    if way.startswith("a"):
        answer = await answer
    if way.startswith("a") and "stream" in way:
        return [response async for response in answer][-1]
    found: ChatResponse = list(answer)[-1] if "stream" in way else answer
    return found


WAYS = ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tools", [None, "add", [len], 5])
async def test_what_is_no_tool_is_named(llm: KiloCode, gateway: LocalGateway, way: str, tools: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"FunctionTool.from_defaults\(function\).*got"):
        await chat_with_tools(way, llm, tools)
    assert gateway.chat_requests == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arguments", BROKEN, ids=range(len(BROKEN)))
async def test_a_call_without_whole_arguments_names_no_tool(
    llm: KiloCode, gateway: LocalGateway, way: str, arguments: str
) -> None:
    gateway.script(called(arguments))
    response = await chat_with_tools(way, llm, [TOOL])
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_id, call.tool_kwargs) == ("c1", {})
    assert call.tool_name == "remove (not called: its arguments are no complete JSON object)"
    # So it is when the message alone was kept.
    assert llm.get_tool_calls_from_response(ChatResponse(message=response.message)) == [call]
    await llm.achat([response.message, ChatMessage(role="tool", content="?", additional_kwargs={"tool_call_id": "c1"})])
    sent = gateway.chat_requests[-1].json["messages"][0]
    assert sent["tool_calls"][0]["function"] == {"name": "remove", "arguments": arguments}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arguments", ["", "{}", " ", "null"])
async def test_a_call_without_arguments_is_one(llm: KiloCode, gateway: LocalGateway, way: str, arguments: str) -> None:
    gateway.script(called(arguments))
    response = await chat_with_tools(way, llm, [TOOL])
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("remove", {})


@pytest.mark.parametrize("way", WAYS)
async def test_a_last_call_whose_arguments_never_came_is_cut(llm: KiloCode, gateway: LocalGateway, way: str) -> None:
    gateway.script(called("", finish_reason="length"))
    (call,) = llm.get_tool_calls_from_response(await chat_with_tools(way, llm, [TOOL]))
    assert call.tool_name.startswith("remove (not called")


class Shelf:
    """Files, with a tool that removes one, or all of them."""

    def __init__(self) -> None:
        self.removed: list[tuple[Any, ...]] = []

    def tools(self) -> list[FunctionTool]:
        def remove(path: str = "/") -> str:
            """Remove a file, or all of them."""
            self.removed.append((path,))
            return "gone"

        def anything(**what: Any) -> str:
            """Do anything."""
            self.removed.append((what,))
            return "done"

        return [FunctionTool.from_defaults(remove), FunctionTool.from_defaults(anything)]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", ["remove", "anything"])
@pytest.mark.parametrize(
    ("finish_reason", "arguments"),
    [
        ("length", ""),
        ("length", '{"path": "notes.t'),
        ("length", '{"path": "notes.txt", "mo'),
        ("tool_calls", '{"path": "notes.t'),
        ("tool_calls", "path is notes.txt"),
    ],
)
async def test_no_agent_runs_a_tool_with_half_its_arguments(  # noqa: PLR0917
    llm: KiloCode, gateway: LocalGateway, streaming: bool, name: str, finish_reason: str, arguments: str
) -> None:
    shelf = Shelf()
    gateway.script(
        called(arguments, finish_reason=finish_reason, name=name),
        called('{"path": "notes.txt"}', name="remove"),
        Reply.text("It is gone."),
    )
    agent = FunctionAgent(tools=[*shelf.tools()], llm=llm, streaming=streaming)
    assert str(await agent.run("Remove the file.")) == "It is gone."
    assert shelf.removed == [("notes.txt",)]
    _, first, told, *_ = gateway.chat_requests[-1].json["messages"]
    assert first["tool_calls"][0]["function"]["arguments"] == (arguments or "{}")
    assert (told["role"], told["tool_call_id"]) == ("tool", "c1")
    assert f"Tool {name} (not called: its arguments are no complete JSON object) not found" in told["content"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_predict_and_call_calls_nothing_with_half_its_arguments(
    llm: KiloCode, gateway: LocalGateway, is_async: bool
) -> None:
    shelf = Shelf()
    gateway.script(called('{"path": "notes.t', finish_reason="length"), called('{"path": "notes.txt"}'))
    for said in ("Encountered error: The tool was remove (not called: ", "gone"):
        if is_async:
            answer = await llm.apredict_and_call(shelf.tools(), user_msg="Remove it.")
        else:
            answer = llm.predict_and_call(shelf.tools(), user_msg="Remove it.")
        assert str(answer).startswith(said)
        offered = [tool["function"]["name"] for tool in gateway.chat_requests[-1].json["tools"]]
        assert offered == ["remove", "anything"]
    assert shelf.removed == [("notes.txt",)]


def test_a_growing_call_shows_what_has_come(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(stream([[piece(0, "c1", "add", '{"text": "on')], [piece(0, arguments='e"}')]], split="event"))
    grown = [
        llm.get_tool_calls_from_response(response)[0].tool_kwargs
        for response in llm.stream_chat_with_tools([TOOL], user_msg="Add.")
    ]
    assert grown == [{"text": "on"}, {"text": "one"}, {"text": "one"}]


def test_line_breaks_inside_strings_are_taken(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("", tool_calls=[{"id": "c1", "name": "add", "arguments": '{"a": "one\ntwo"}'}]))
    response = llm.chat_with_tools([TOOL], user_msg="Add.")
    assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"a": "one\ntwo"}


async def test_an_agent_survives_arguments_that_are_no_json(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(
        Reply.text("", tool_calls=[{"id": "c1", "name": "add", "arguments": "a is 1"}]), Reply.text("I could not add.")
    )
    assert str(await FunctionAgent(tools=[add], llm=llm).run("Add.")) == "I could not add."
    *_, asked, result = gateway.chat_requests[-1].json["messages"]
    assert asked["tool_calls"][0]["function"]["arguments"] == "a is 1"
    assert "a" in result["content"]


def test_no_call_is_an_error_only_where_one_is_wanted(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("No."))
    response = llm.chat_with_tools([TOOL], user_msg="Add.")
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match=r"'No\.'"):
        llm.get_tool_calls_from_response(response)


def test_calls_from_before_there_were_blocks(llm: KiloCode, gateway: LocalGateway) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    old = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    selections = llm.get_tool_calls_from_response(ChatResponse(message=old))
    assert [(one.tool_id, one.tool_kwargs) for one in selections] == [("c1", {"a": 1})]
    llm.chat([old, ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": "c1"})])
    assert gateway.chat_requests[-1].json["messages"][0] == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    ("given", "required", "sent"),
    [
        (None, False, "auto"),
        (None, True, "required"),
        ("none", False, "none"),
        ("any", False, "required"),
        ("add", False, {"type": "function", "function": {"name": "add"}}),
        ({"type": "function", "function": {"name": "add"}}, True, {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_tool_choice(llm: KiloCode, gateway: LocalGateway, given: Any, required: bool, sent: Any) -> None:
    llm.chat_with_tools([TOOL], user_msg="Add.", tool_choice=given, tool_required=required)
    assert gateway.chat_requests[-1].json["tool_choice"] == sent


def test_no_tool_choice_without_tools(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat_with_tools([], user_msg="Add.", tool_required=True)
    llm.chat([ChatMessage(role="user", content="Add.")], tool_choice="required")
    for request in gateway.chat_requests:
        assert not {"tools", "tool_choice"} & set(request.json)


async def test_the_history_is_not_added_to(llm: KiloCode, gateway: LocalGateway) -> None:
    history = [ChatMessage(role="user", content="Hello."), ChatMessage(role="assistant", content="Hi.")]
    before = copy.deepcopy(history)
    call = Reply.text("", tool_calls=[{"id": "c1", "name": "add", "arguments": '{"a": 1}'}])
    for _ in range(2):
        gateway.script(*[call] * 6)
        llm.chat_with_tools([TOOL], user_msg="Add.", chat_history=history)
        await llm.achat_with_tools([TOOL], user_msg="Add.", chat_history=history)
        list(llm.stream_chat_with_tools([TOOL], user_msg="Add.", chat_history=history))
        async for _ in await llm.astream_chat_with_tools([TOOL], user_msg="Add.", chat_history=history):
            pass
        llm.predict_and_call([TOOL], user_msg="Add 1 and 2.", chat_history=history)
        await llm.apredict_and_call([TOOL], user_msg="Add 1 and 2.", chat_history=history)
    assert history == before
    assert {len(request.json["messages"]) for request in gateway.chat_requests} == {3}


async def test_predict_and_call(llm: KiloCode, gateway: LocalGateway) -> None:
    calls = [
        {"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'},
        {"id": "c2", "name": "add", "arguments": '{"a": 5}'},
    ]
    gateway.script(*[Reply.text("", tool_calls=calls)] * 3)
    assert str(llm.predict_and_call([TOOL], user_msg="Add.")) == "3"
    assert str(await llm.apredict_and_call([TOOL], user_msg="Add.")) == "3"
    assert str(llm.predict_and_call([TOOL], user_msg="Add.", allow_parallel_tool_calls=True)) == "3\n\n5"


async def test_the_local_gateway_calls_the_tool_by_itself(llm: KiloCode) -> None:
    def plus(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    output = await FunctionAgent(tools=[plus], llm=llm).run("What is 3 plus 4?")
    assert "7" in str(output)


async def test_an_agent_streams_text_thoughts_calls_and_usage(llm: KiloCode, gateway: LocalGateway) -> None:
    from llama_index.core.agent.workflow import AgentOutput, AgentStream

    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "cost": 0.5}
    gateway.script(
        Reply.text("", reasoning="Hm.", tool_calls=[{"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}]),
        Reply.text("It is 3.", usage=usage),
    )
    handler = FunctionAgent(tools=[add], llm=llm).run("What is 1 plus 2?")
    events = [event async for event in handler.stream_events()]
    streamed = [event for event in events if isinstance(event, AgentStream)]
    assert "".join(event.delta for event in streamed) == "It is 3."
    assert "".join(getattr(event, "thinking_delta", None) or "" for event in streamed) == "Hm."
    outputs = [event for event in events if isinstance(event, AgentOutput)]
    assert [call.tool_kwargs for call in outputs[0].tool_calls] == [{"a": 1, "b": 2}]
    assert outputs[-1].raw["usage"]["cost"] == 0.5
    assert str(await handler) == "It is 3."


async def test_agent_workflow_takes_the_function_agent(llm: KiloCode, gateway: LocalGateway) -> None:
    workflow = AgentWorkflow.from_tools_or_functions([add], llm=llm)
    assert all(isinstance(agent, FunctionAgent) for agent in workflow.agents.values())
    gateway.script(
        Reply.text("", tool_calls=[{"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}]),
        Reply.text("It is 3."),
    )
    assert str(await workflow.run("What is 1 plus 2?")) == "It is 3."


async def test_two_agents_hand_over(llm: KiloCode, gateway: LocalGateway) -> None:
    agents = [
        FunctionAgent(name="talker", description="Talks.", llm=llm, can_handoff_to=["adder"], tools=[]),
        FunctionAgent(name="adder", description="Adds.", llm=llm, tools=[add]),
    ]
    gateway.script(
        Reply.text(
            "", tool_calls=[{"id": "c1", "name": "handoff", "arguments": '{"to_agent": "adder", "reason": "sums"}'}]
        ),
        Reply.text("", tool_calls=[{"id": "c2", "name": "add", "arguments": '{"a": 1, "b": 2}'}]),
        Reply.text("It is 3."),
    )
    assert str(await AgentWorkflow(agents=agents, root_agent="talker").run("What is 1 plus 2?")) == "It is 3."


async def test_react_agent(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(
        Reply.text('Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}\n'),
        Reply.text("Thought: I can answer without using any more tools.\nAnswer: It is 3."),
    )
    assert str(await ReActAgent(tools=[add], llm=llm).run("What is 1 plus 2?")) == "It is 3."


def test_tool_results_with_images(llm: KiloCode, gateway: LocalGateway) -> None:
    blocks = [TextBlock(text="A chart."), ImageBlock(url="https://example.com/chart.png")]
    llm.chat([ChatMessage(role=MessageRole.TOOL, blocks=blocks, additional_kwargs={"tool_call_id": "c1"})])
    assert gateway.chat_requests[-1].json["messages"][0] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": [
            {"type": "text", "text": "A chart."},
            {"type": "image_url", "image_url": {"url": "https://example.com/chart.png"}},
        ],
    }
