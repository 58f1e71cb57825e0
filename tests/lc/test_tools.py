"""Tool calls: every oddity of streams, and tools of all kinds."""

from __future__ import annotations

from typing import Any

import pytest
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


def _chunks(*pieces: list[dict[str, Any]]) -> Reply:
    chunks = [
        {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": piece}, "finish_reason": None}]} for piece in pieces
    ]
    return Reply.chunks([*chunks, {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}])


def _call(name: str | None = None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
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


def _answer(stream: bool, arguments: str, **extra: Any) -> Reply:
    call = _call("look", arguments, index=0, id="a", **extra)
    if stream:
        return _chunks([call])
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Reply.raw(200, {**HEAD, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})


async def test_empty_arguments(ask: Any, model: Any, gateway: Any) -> None:
    gateway.script(_answer("stream" in ask.__name__, ""))
    answer = await ask(model, "Go.")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {})]


@pytest.mark.parametrize("arguments", ["not json at all", "[1]"])
async def test_arguments_that_are_no_object_are_kept(ask: Any, model: Any, gateway: Any, arguments: str) -> None:
    gateway.script(_answer("stream" in ask.__name__, arguments))
    answer = await ask(model, "Go.")
    assert answer.tool_calls == []
    assert [(call["name"], call["args"], call["id"]) for call in answer.invalid_tool_calls] == [
        ("look", arguments, "a")
    ]
    await ask(model, [HumanMessage("Go."), answer, ToolMessage("no", tool_call_id="a")])
    assert gateway.last_request.json["messages"][1]["tool_calls"][0]["function"]["arguments"] == arguments


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


def test_a_providers_own_tools_pass(model: Any, gateway: Any) -> None:
    own = [
        {"type": "openrouter:web_search", "parameters": {"max": 3}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    model.bind_tools([*own, look]).invoke("Go.")
    assert gateway.last_request.json["tools"][:2] == own


def test_cache_control_of_a_tool(model: Any, gateway: Any) -> None:
    cached = look.model_copy(update={"extras": {"cache_control": {"type": "ephemeral"}}})
    model.bind_tools([cached]).invoke("Go.")
    assert gateway.last_request.json["tools"][0]["cache_control"] == {"type": "ephemeral"}
