"""Tool calls: every oddity of streams, and tools of all kinds."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from kilocode_gateway import ConfigurationError
from kilocode_gateway.local import Reply


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


class Tell(BaseModel):
    """Tell something."""

    what: str


HEAD = {"id": "gen-1", "model": "m", "provider": "P"}


def _chunks(*pieces: list[dict[str, Any]], fin: str = "tool_calls") -> Reply:
    chunks = [
        {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": piece}, "finish_reason": None}]} for piece in pieces
    ]
    return Reply.chunks([*chunks, {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": fin}]}])


def _call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return {"type": "function", "function": function, **fields}


A, B = '{"where": "here"}', '{"what": "it"}'
ODDITIES = {
    "as it should be": [
        [_call("look", "", index=0, id="a")],
        [_call(arguments=A[:5], index=0)],
        [_call(arguments=A[5:], index=0)],
        [_call("Tell", B, index=1, id="b")],
    ],
    "no index": [
        [_call("look", "", id="a")],
        [_call(arguments=A[:5])],
        [_call(arguments=A[5:])],
        [_call("Tell", B, id="b")],
    ],
    "index as a string": [
        [_call("look", A[:5], index="0", id="a")],
        [_call(arguments=A[5:], index="0")],
        [_call("Tell", B, index="1", id="b")],
    ],
    "id and name in each piece": [
        [_call("look", A[:5], index=0, id="a")],
        [_call("look", A[5:], index=0, id="a")],
        [_call("Tell", B, index=1, id="b")],
    ],
    "empty id in later pieces": [
        [_call("look", A[:5], index=0, id="a")],
        [_call("", A[5:], index=0, id="")],
        [_call("Tell", B, index=1, id="b")],
    ],
    "two calls in one chunk": [[_call("look", A, index=0, id="a"), _call("Tell", B, index=1, id="b")]],
    "interleaved": [
        [_call("look", A[:5], index=0, id="a")],
        [_call("Tell", B[:5], index=1, id="b")],
        [_call(arguments=A[5:], index=0)],
        [_call(arguments=B[5:], index=1)],
    ],
    "all at index 0": [
        [_call("look", A[:5], index=0, id="a")],
        [_call(arguments=A[5:], index=0)],
        [_call("Tell", B, index=0, id="b")],
    ],
    "whole calls, all at index 0": [[_call("look", A, index=0, id="a")], [_call("Tell", B, index=0, id="b")]],
    "whole calls without an index in one chunk": [[_call("look", A, id="a"), _call("Tell", B, id="b")]],
    "an index in the first pieces only": [
        [_call("look", "", index=0, id="a")],
        [_call(arguments=A[:5])],
        [_call(arguments=A[5:])],
        [_call("Tell", "", index=1, id="b")],
        [_call(arguments=B)],
    ],
    "index from 1": [[_call("look", A, index=1, id="a")], [_call("Tell", B, index=2, id="b")]],
    "the name comes before everything": [
        [_call("look", index=0, id="a"), _call("Tell", index=1, id="b")],
        [_call(arguments=B, index=1)],
        [_call(arguments=A, index=0)],
    ],
    "interleaved, by id alone": [
        [_call("look", A[:5], id="a")],
        [_call("Tell", B[:5], id="b")],
        [_call(arguments=A[5:], id="a")],
        [_call(arguments=B[5:], id="b")],
    ],
    "arguments as an object": [
        [_call("look", json.loads(A), index=0, id="a")],
        [_call("Tell", json.loads(B), index=1, id="b")],
    ],
}


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("oddity", ODDITIES)
async def test_streamed_calls_come_out_whole(
    ask_streamed: Any, make_model: Any, gateway: Any, oddity: str, version: str | None
) -> None:
    gateway.script(_chunks(*ODDITIES[oddity]))
    answer = await ask_streamed(make_model(output_version=version), "Go.")
    assert [(call["name"], call["args"], call["id"]) for call in answer.tool_calls] == [
        ("look", {"where": "here"}, "a"),
        ("Tell", {"what": "it"}, "b"),
    ]
    assert answer.invalid_tool_calls == []
    blocks = [block for block in answer.content_blocks if block["type"] == "tool_call"]
    assert [(block["name"], block["id"]) for block in blocks] == [("look", "a"), ("Tell", "b")]


@pytest.mark.parametrize("index", [(0, 1), (0, 0), (None, None)])
@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_two_equal_calls_stay_two(ask: Any, model: Any, gateway: Any, index: Any) -> None:
    calls = [
        _call("look", A, id=id_, **({} if place is None else {"index": place}))
        for id_, place in zip("ab", index, strict=True)
    ]
    gateway.script(_chunks(*([call] for call in calls)) if "stream" in ask.__name__ else _whole(*calls))
    answer = await ask(model, "Go.")
    assert [(call["args"], call["id"]) for call in answer.tool_calls] == [
        ({"where": "here"}, "a"),
        ({"where": "here"}, "b"),
    ]
    await ask(model, [HumanMessage("Go."), answer, *(ToolMessage("seen", tool_call_id=id_) for id_ in "ab")])
    assert [call["id"] for call in gateway.last_request.json["messages"][1]["tool_calls"]] == ["a", "b"]


@pytest.mark.parametrize(
    "pieces",
    [
        [[_call("look", A)], [_call("look", A)]],
        [[_call("look", A, index=0), _call("look", A, index=1)]],
        [[_call("look", "", index=0)], [_call(arguments=A, index=0, id="late")], [_call("look", A, index=1, id="b")]],
    ],
    ids=["no index", "no id", "late id"],
)
async def test_calls_without_ids_get_some(ask_streamed: Any, model: Any, gateway: Any, pieces: Any) -> None:
    gateway.script(_chunks(*pieces))
    answer = await ask_streamed(model, "Go.")
    assert [call["args"] for call in answer.tool_calls] == [{"where": "here"}] * 2
    assert len({call["id"] for call in answer.tool_calls} - {None, ""}) == 2


def _whole(*calls: dict[str, Any]) -> Reply:
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return Reply.raw(200, {**HEAD, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})


def _answer(stream: bool, arguments: str, **extra: Any) -> Reply:
    call = _call("look", arguments, index=0, id="a", **extra)
    return _chunks([call]) if stream else _whole(call)


@pytest.mark.parametrize("arguments", ["", "{}", "  ", "\n"])
@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_empty_arguments(ask: Any, model: Any, gateway: Any, arguments: str) -> None:
    gateway.script(_answer("stream" in ask.__name__, arguments))
    answer = await ask(model, "Go.")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {})]
    assert answer.invalid_tool_calls == []


# What LangChain's own reading of streams would make a call of, and run, stands beside what it would not.
BROKEN = [
    "not json at all",
    "[1]",
    "3",
    '{"where": "/data/he',
    '{"where": ',
    '{"where": "here"} and more',
    '{"where": ["a", "b',
    '{"where": [1, 2',
    '{"where": "a\\',
    '{"where": {"deep": "er"',
]


def _through_json(message: AIMessage) -> AIMessage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` a beta
        return loads(dumps(message), allowed_objects="messages")


def _broken(stream: bool, arguments: str) -> Reply:
    calls = [_call("look", arguments, index=0, id="a"), _call("look", A, index=1, id="b")]
    return _chunks(*([call] for call in calls)) if stream else _whole(*calls)


@pytest.mark.parametrize("arguments", BROKEN)
@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_arguments_that_are_no_object_are_kept(ask: Any, model: Any, gateway: Any, arguments: str) -> None:
    gateway.script(_broken("stream" in ask.__name__, arguments))
    answer = await ask(model, "Go.")
    assert [call["id"] for call in answer.tool_calls] == ["b"]
    (invalid,) = answer.invalid_tool_calls
    assert (invalid["name"], invalid["id"]) == ("look", "a")
    # In a stream, brackets follow that keep LangChain from completing it.
    assert invalid["args"].startswith(arguments)
    assert "stream" in ask.__name__ or invalid["args"] == arguments
    for kept in (answer, _through_json(answer)):
        await ask(model, [HumanMessage("Go."), kept, *(ToolMessage("no", tool_call_id=id_) for id_ in "ab")])
        sent = gateway.last_request.json["messages"][1]["tool_calls"]
        assert [(call["id"], call["function"]["arguments"]) for call in sent] == [("a", arguments), ("b", A)]


@pytest.mark.skipif(not hasattr(BaseChatModel, "stream_events"), reason="this langchain-core has no such events")
@pytest.mark.parametrize("arguments", BROKEN)
def test_events_keep_them_too(model: Any, gateway: Any, arguments: str) -> None:
    gateway.script(_broken(True, arguments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = model.stream_events("Go.", version="v3").output
    assert [call["id"] for call in answer.tool_calls] == ["b"]
    model.invoke([HumanMessage("Go."), answer, *(ToolMessage("no", tool_call_id=id_) for id_ in "ab")])
    sent = gateway.last_request.json["messages"][1]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in sent] == [("a", arguments), ("b", A)]


def test_invalid_calls_in_blocks_go_back(model: Any, gateway: Any) -> None:
    blocks: Any = [
        {"type": "invalid_tool_call", "id": "a", "name": "look", "args": '{"where', "error": "no JSON"},
        {"type": "tool_call", "id": "b", "name": "look", "args": {"where": "here"}},
    ]
    for message in (AIMessage(content_blocks=blocks), AIMessage(blocks)):
        model.invoke([HumanMessage("Go."), message])
        sent = gateway.last_request.json["messages"][1]["tool_calls"]
        assert {call["id"]: call["function"]["arguments"] for call in sent} == {"a": '{"where', "b": A}


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
def test_a_call_that_a_program_took_out_or_changed_goes_as_it_is_now(model: Any, gateway: Any) -> None:
    gateway.script(_broken(True, "no JSON"), _whole(_call("look", A, id="a"), _call("look", A, id="b")))
    broken = model.invoke("Go.")
    answer = model.invoke("Go.")
    answer.tool_calls = [{**answer.tool_calls[1], "args": {"where": "there"}}]
    broken.invalid_tool_calls = []
    for message in (answer, broken):
        message.tool_calls = [{**message.tool_calls[0], "args": {"where": "there"}}]
        model.invoke([HumanMessage("Go."), message, ToolMessage("seen", tool_call_id="b")])
        (call,) = gateway.last_request.json["messages"][1]["tool_calls"]
        assert (call["id"], call["function"]["arguments"]) == ("b", '{"where": "there"}')


async def _run(agent: Any, way: str) -> list[Any]:
    question = {"messages": [HumanMessage("Go.")]}
    if way == "invoke":
        return agent.invoke(question)["messages"]
    if way == "ainvoke":
        return (await agent.ainvoke(question))["messages"]
    last: Any = None
    async for mode, piece in agent.astream(question, stream_mode=["messages", "values"]):
        last = piece if mode == "values" else last
    return last["messages"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_an_agent_runs_no_call_that_was_cut(model: Any, gateway: Any, way: str) -> None:
    ran = []

    @tool
    def remove(where: str = "everything") -> str:
        """Remove a file."""
        ran.append(where)
        return "removed"

    agent = create_agent(model, [remove])
    cut = _call("remove", '{"where": "/data/ol', index=0, id="a")
    whole = _call("remove", '{"where": "/data/old"}', index=1, id="b")
    gateway.script(*([_chunks([cut], fin="length")] if way == "astream" else [_whole(cut)]))
    messages = await _run(agent, way)
    assert ran == []
    assert [call["id"] for call in messages[-1].invalid_tool_calls] == ["a"]
    gateway.script(_chunks([cut], [whole]) if way == "astream" else _whole(cut, whole), Reply.text("Done."))
    messages = await _run(agent, way)
    assert ran == ["/data/old"]
    assert messages[-1].text == "Done."


async def test_what_came_with_a_call_goes_back_with_it(ask: Any, model: Any, gateway: Any) -> None:
    signed = {"google": {"thought_signature": "c2lnbmVk"}}
    gateway.script(_answer("stream" in ask.__name__, A, extra_content=signed))
    answer = await ask(model, "Go.")
    await ask(model, [HumanMessage("Go."), answer, ToolMessage("seen", tool_call_id="a")])
    assert gateway.last_request.json["messages"][1]["tool_calls"][0]["extra_content"] == signed


async def test_calls_made_by_hand(model: Any, gateway: Any) -> None:
    use = {"type": "tool_use", "id": "u1", "name": "look", "input": {"where": "dort, wo's schön ist"}}
    openai = {"id": "o1", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{}"}}
    history = [
        HumanMessage("Go."),
        AIMessage([{"type": "text", "text": "I look."}, use]),
        HumanMessage(
            [
                {"type": "tool_result", "tool_use_id": "u1", "content": [{"type": "text", "text": "seen"}]},
                {"type": "text", "text": "And?"},
            ]
        ),
        AIMessage("", additional_kwargs={"tool_calls": [openai]}),
        ToolMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], tool_call_id="o1"),
    ]
    model.invoke(history)
    sent = gateway.last_request.json["messages"]
    assert sent[1] == {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {
                "id": "u1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"where": "dort, wo\'s schön ist"}'},
            }
        ],
    }
    assert sent[2:4] == [{"role": "tool", "tool_call_id": "u1", "content": "seen"}, {"role": "user", "content": "And?"}]
    assert sent[4]["tool_calls"] == [{"id": "o1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert sent[5] == {"role": "tool", "tool_call_id": "o1", "content": "ab"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("look", {"type": "function", "function": {"name": "look"}}),
        ({"type": "function", "function": {"name": "Tell"}}, {"type": "function", "function": {"name": "Tell"}}),
    ],
)
def test_tool_choice(model: Any, gateway: Any, choice: Any, sent: Any) -> None:
    model.bind_tools([look, Tell], tool_choice=choice).invoke("Go.")
    assert gateway.last_request.json.get("tool_choice") == sent
    assert [item["function"]["name"] for item in gateway.last_request.json["tools"]] == ["look", "Tell"]


def test_tool_choice_that_names_no_tool(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="look"):
        model.bind_tools([look], tool_choice="lok")


@pytest.mark.parametrize("wrong", [3, "look", None, {"no": "name"}, [look]])
def test_what_is_no_tool_is_refused(model: Any, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"A tool must be .*function.*Pydantic class.*got ") as caught:
        model.bind_tools([wrong])
    assert type(wrong).__name__ in str(caught.value)


def test_no_tools_means_no_list(model: Any, gateway: Any) -> None:
    model.bind_tools([]).invoke("Go.")
    assert "tools" not in gateway.last_request.json


def test_keys_of_a_remote_tool_reach_the_gateway_and_no_trace(model: Any, gateway: Any) -> None:
    class Seen(BaseCallbackHandler):
        told = ""

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            Seen.told += repr((args, kwargs))

    remote = {"type": "mcp", "server_label": "s", "authorization": "canary-1", "headers": {"X-Key": "canary-2"}}
    model.bind_tools([remote]).invoke("Go.", config={"callbacks": [Seen()]})
    assert gateway.last_request.json["tools"] == [remote]
    assert "server_label" in Seen.told
    assert "canary" not in Seen.told


def test_a_providers_own_tools_pass(model: Any, gateway: Any) -> None:
    own = [
        {"type": "openrouter:web_search", "parameters": {"max": 3}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    model.bind_tools([*own, look]).invoke("Go.")
    assert gateway.last_request.json["tools"][:2] == own


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
async def test_a_providers_own_tools_pass_through_agents(model: Any, gateway: Any, way: str) -> None:
    own = {"type": "openrouter:web_search", "parameters": {"max": 3}}
    call = _call("look", A, index=0, id="a")
    gateway.script(_chunks([call]) if way == "astream" else _whole(call), Reply.text("Done."))
    messages = await _run(create_agent(model, [own, look]), way)
    assert messages[-1].text == "Done."
    tools = gateway.last_request.json["tools"]
    assert own in tools
    assert [item["function"]["name"] for item in tools if item != own] == ["look"]


def test_cache_control_of_a_tool(model: Any, gateway: Any) -> None:
    cached = look.model_copy(update={"extras": {"cache_control": {"type": "ephemeral"}}})
    model.bind_tools([cached]).invoke("Go.")
    assert gateway.last_request.json["tools"][0]["cache_control"] == {"type": "ephemeral"}
