"""Reasoning: out as text and blocks, and back to the model exactly as it came."""

from __future__ import annotations

import copy
import functools
import json
import pickle
import warnings
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
    trim_messages,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel

from kilocode_gateway.local import Reply

THOUGHT = "First I look. Then I tell."
PIECES = ("First I ", "look. ", "Then I tell.")
REASONING = ("reasoning", "reasoning_content", "reasoning_details")
CLAUDE = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
GPT = {"format": "openai-responses-v1", "index": 0}


def _call(place: int = 0, **extra: Any) -> dict[str, Any]:
    call = {"id": f"call_{place + 1}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return {**call, **extra}


def _told(text: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"reasoning": text, "reasoning_details": list(details)}


# The deltas of a stream, in order; {} stands for the answer's text. What goes back is what a whole reply holds.
SIGNED = {"type": "reasoning.text", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0}
CLOSED = {**CLAUDE, "text": THOUGHT, "signature": "c2lnbmVk"}
REDACTED = {"type": "reasoning.encrypted", "data": "cmVkYWN0ZWQ=", "format": "anthropic-claude-v1", "index": 0}
HIDDEN = {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "id": "call_1", "format": "google-gemini-v1", "index": 1}
SHOWN = {"type": "reasoning.text", "text": THOUGHT, "format": "google-gemini-v1", "index": 0}
SUMMARY = {"type": "reasoning.summary", "summary": THOUGHT, **GPT}
SEALED = {"type": "reasoning.encrypted", "data": "Z0FBQQ==", "id": "rs_1", **GPT}
FIRST = {**CLAUDE, "text": PIECES[0], "signature": "UzE="}
SECOND = {**CLAUDE, "text": PIECES[1], "signature": "UzI=", "index": 2}
THIRD = {**CLAUDE, "text": PIECES[2], "signature": "UzM=", "index": 4}
THOUGHTFUL = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}

SHAPES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "anthropic": (
        [*(_told(text, {**CLAUDE, "text": text}) for text in PIECES), {"reasoning_details": [SIGNED]}, {}],
        {"reasoning_details": [CLOSED]},
    ),
    "anthropic, details alone": (
        [
            *({"reasoning_details": [{**CLAUDE, "text": text}]} for text in PIECES),
            {"reasoning_details": [{**CLOSED}]},
            {},
        ],
        {"reasoning_details": [CLOSED]},
    ),
    "anthropic, between text and calls": (
        [
            _told(PIECES[0], FIRST),
            {},
            _told(PIECES[1], SECOND),
            {"tool_calls": [_call(0, index=0)]},
            _told(PIECES[2], {**THIRD, "signature": None}),
            {"reasoning_details": [{**SIGNED, "signature": "UzM=", "index": 4}]},
            {"tool_calls": [_call(1, index=1)]},
        ],
        {"reasoning_details": [FIRST, SECOND, THIRD]},
    ),
    "anthropic, redacted": ([{"reasoning_details": [REDACTED]}, {}], {"reasoning_details": [REDACTED]}),
    "gemini": ([_told(THOUGHT, SHOWN), {"reasoning_details": [HIDDEN]}, {}], {"reasoning_details": [SHOWN, HIDDEN]}),
    "gemini, signed call": (
        [{"reasoning_content": THOUGHT}, {}, {"tool_calls": [_call(0, index=0, **THOUGHTFUL)]}],
        {"reasoning_content": THOUGHT},
    ),
    "openai": (
        [_told(THOUGHT, SUMMARY), {"reasoning_details": [SEALED]}, {}],
        {"reasoning_details": [SUMMARY, SEALED]},
    ),
    "openai, two items": (
        [
            {"reasoning_details": [SEALED]},
            {},
            {"reasoning_details": [{**SEALED, "data": "Z0JCQg==", "id": "rs_2"}]},
        ],
        {"reasoning_details": [SEALED, {**SEALED, "data": "Z0JCQg==", "id": "rs_2"}]},
    ),
    "kimi": ([*({"reasoning_content": text} for text in PIECES), {}], {"reasoning_content": THOUGHT}),
    "plain": ([*({"reasoning": text} for text in PIECES), {}], {"reasoning": THOUGHT}),
    "both names": (
        [*({"reasoning": text, "reasoning_content": text} for text in PIECES), {}],
        {"reasoning_content": THOUGHT},
    ),
    "all three, the blocks at the end": (
        [*({"reasoning": text, "reasoning_content": text} for text in PIECES), {"reasoning_details": [SHOWN]}, {}],
        {"reasoning_content": THOUGHT, "reasoning_details": [SHOWN]},
    ),
}
SILENT = ("anthropic, redacted", "openai, two items")


def _calls(shape: str) -> list[dict[str, Any]]:
    calls = [call for delta in SHAPES[shape][0] for call in delta.get("tool_calls", ())]
    return [{name: value for name, value in call.items() if name != "index"} for call in calls] or [_call()]


def _reply(shape: str, *, stream: bool, text: str = "") -> Reply:
    deltas, back = SHAPES[shape]
    head = {"id": "gen-1", "model": "m", "provider": "P"}
    if not stream:
        message = {"role": "assistant", "content": text or None, "tool_calls": _calls(shape), **back}
        if "reasoning_details" in back and shape not in SILENT:
            message["reasoning"] = THOUGHT
        return Reply.raw(200, {**head, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})
    if not any("tool_calls" in delta for delta in deltas):
        deltas = [*deltas, {"tool_calls": [_call(index=0)]}]
    chunks = [
        {
            **head,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "", **(delta or {"content": text})}}],
        }
        for delta in deltas
    ]
    return Reply.chunks([*chunks, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}])


def _sent(gateway: Any) -> list[dict[str, Any]]:
    return [message for message in gateway.last_request.json["messages"] if message["role"] == "assistant"]


def _reasoning_of(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in REASONING if name in message}


def _results(shape: str) -> list[ToolMessage]:
    return [ToolMessage("seen", tool_call_id=call["id"]) for call in _calls(shape)]


def _assert_back(gateway: Any, shape: str, count: int, why: str) -> None:
    sent = _sent(gateway)
    assert [_reasoning_of(message) for message in sent] == [SHAPES[shape][1]] * count, why
    assert [message["tool_calls"] for message in sent] == [_calls(shape)] * count, why
    assert {message["content"] for message in sent} == {None}, why


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("shape", SHAPES)
async def test_text_is_shown_once(ask: Any, model: Any, gateway: Any, shape: str) -> None:
    gateway.script(_reply(shape, stream="stream" in ask.__name__, text="Here."))
    answer = await ask(model, "Look.")
    shown = "" if shape in SILENT else THOUGHT
    assert answer.additional_kwargs.get("reasoning_content", "") == shown
    assert answer.additional_kwargs.get("reasoning_details") == SHAPES[shape][1].get("reasoning_details")
    blocks = [block for block in answer.content_blocks if block["type"] != "tool_call"]
    assert sorted(block["type"] for block in blocks) == ["reasoning", "text"]
    assert "".join(block.get("reasoning", "") for block in blocks) == shown
    assert "".join(block.get("text", "") for block in blocks) == "Here." == answer.text
    calls = [block for block in answer.content_blocks if block["type"] == "tool_call"]
    assert [call["id"] for call in calls] == [call["id"] for call in _calls(shape)]


def _quietly(action: Any, *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` and some events a beta
        return action(*args, **kwargs)


def _checkpointed(history: list[Any]) -> list[Any]:
    serializer = JsonPlusSerializer()
    return serializer.loads_typed(serializer.dumps_typed(history))


def _trimmed(history: list[Any]) -> list[Any]:
    return trim_messages(history, max_tokens=100, token_counter=len, strategy="last", include_system=True)


def _blocks_only(history: list[Any]) -> list[Any]:
    """Keep what a program keeps that stores standard blocks and nothing else."""
    meta = {"model_provider": "kilocode"}
    return [
        AIMessage(content_blocks=copy.deepcopy(message.content_blocks), response_metadata=meta)
        if isinstance(message, AIMessage)
        else message
        for message in history
    ]


TRANSFORMATIONS: dict[str, Any] = {
    "as they are": list,
    "dumps and load": lambda history: _quietly(loads, dumps(history), allowed_objects="messages"),
    "a checkpoint": _checkpointed,
    "dicts through JSON": lambda history: messages_from_dict(json.loads(json.dumps(messages_to_dict(history)))),
    "trim_messages": _trimmed,
    "pickle": lambda history: pickle.loads(pickle.dumps(history)),
    "chunks to messages": lambda history: [message_chunk_to_message(message) for message in history],
    "blocks only": _blocks_only,
}


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("shape", SHAPES)
async def test_three_turns_go_back_as_they_came(ask: Any, model: Any, gateway: Any, shape: str) -> None:
    history: list[Any] = [HumanMessage("Look.")]
    for turn in range(3):
        gateway.script(_reply(shape, stream="stream" in ask.__name__))
        history.append(await ask(model, history))
        if turn:
            _assert_back(gateway, shape, turn, "the loop")
        history += _results(shape)
    before = copy.deepcopy(history)
    for name, transform in TRANSFORMATIONS.items():
        await ask(model, transform(transform(history)))
        _assert_back(gateway, shape, 3, name)
    assert history == before


def _right(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] if len(chunks) == 1 else chunks[0] + _right(chunks[1:])


def _halves(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    middle = len(chunks) // 2
    return _halves(chunks[:middle]) + _halves(chunks[middle:]) if middle else chunks[0]


GROUPINGS: dict[str, Any] = {
    "from the left": lambda chunks: functools.reduce(lambda one, other: one + other, chunks),
    "from the right": _right,
    "halves": _halves,
    "a list": lambda chunks: chunks[0] + chunks[1:],
    "add_ai_message_chunks": lambda chunks: add_ai_message_chunks(*chunks),
    "a message": lambda chunks: message_chunk_to_message(add_ai_message_chunks(*chunks)),
}


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_may_be_added_in_any_grouping(model: Any, gateway: Any, shape: str) -> None:
    gateway.script(_reply(shape, stream=True))
    chunks = list(model.stream("Look."))
    for name, add in GROUPINGS.items():
        answer = add(copy.deepcopy(chunks))
        assert answer.additional_kwargs.get("reasoning_details") == SHAPES[shape][1].get("reasoning_details"), name
        for kept in ([answer], _blocks_only([answer])):
            model.invoke([HumanMessage("Look."), *kept, *_results(shape)])
            _assert_back(gateway, shape, 1, name)


async def _events(model: Any) -> AIMessage:
    events = [event async for event in model.astream_events("Look.", version="v2")]
    return next(event["data"]["output"] for event in events if event["event"] == "on_chat_model_end")


async def _events_added(model: Any) -> AIMessage:
    events = [event async for event in model.astream_events("Look.", version="v2")]
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    return add_ai_message_chunks(*chunks)


async def _events_v3(model: Any) -> AIMessage:
    return _quietly(model.stream_events, "Look.", version="v3").output


async def _aevents_v3(model: Any) -> AIMessage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = await model.astream_events("Look.", version="v3")
        return await stream.output


def _graph(model: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    return graph.compile(checkpointer=InMemorySaver())


THREAD: Any = {"configurable": {"thread_id": "1"}}
ASKED: Any = {"messages": [HumanMessage("Look.")]}


async def _graph_messages(model: Any) -> AIMessage:
    pieces = [piece for piece, _ in _graph(model).stream(ASKED, THREAD, stream_mode="messages")]
    return add_ai_message_chunks(*pieces)


async def _graph_state(model: Any) -> AIMessage:
    graph = _graph(model)
    async for _ in graph.astream(ASKED, THREAD, stream_mode="messages"):
        pass
    return graph.get_state(THREAD).values["messages"][-1]


async def _graph_v3(model: Any) -> AIMessage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _graph(model).stream_events(ASKED, THREAD, version="v3").output["messages"][-1]


STREAMS: dict[str, Any] = {
    "astream_events v2": _events,
    "astream_events v2, chunks": _events_added,
    "a graph's messages": _graph_messages,
    "a graph's state": _graph_state,
}
if hasattr(BaseChatModel, "stream_events"):
    STREAMS |= {"stream_events v3": _events_v3, "astream_events v3": _aevents_v3}
if hasattr(BaseChatModel, "stream_events") and hasattr(Pregel, "stream_events"):
    STREAMS |= {"a graph's stream_events v3": _graph_v3}


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_every_stream_of_the_frameworks(model: Any, gateway: Any, shape: str, way: str) -> None:
    gateway.script(_reply(shape, stream=True, text="Here."))
    answer = await STREAMS[way](model)
    assert answer.text == "Here."
    shown = [block["reasoning"] for block in answer.content_blocks if block["type"] == "reasoning"]
    assert "".join(shown) == ("" if shape in SILENT else THOUGHT)
    await model.ainvoke([HumanMessage("Look."), answer, *_results(shape)])
    (sent,) = _sent(gateway)
    assert _reasoning_of(sent) == SHAPES[shape][1]
    assert (sent["content"], sent["tool_calls"]) == ("Here.", _calls(shape))


async def test_deltas_come_as_they_arrive(model: Any, gateway: Any) -> None:
    gateway.script(_reply("anthropic", stream=True, text="Here."))
    seen = [chunk.additional_kwargs.get("reasoning_content", "") for chunk in model.stream("Look.")]
    assert tuple(text for text in seen if text) == PIECES


# Messages as the classes of other providers make them, and what of them goes to this gateway.
FOREIGN: dict[str, tuple[AIMessage, dict[str, Any]]] = {
    "Anthropic, thinking": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm", "signature": "x", "index": 0},
                {"type": "redacted_thinking", "data": "eA=="},
                {"type": "text", "text": "Hi", "citations": []},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {}, "caller": {"type": "direct"}},
            ],
            tool_calls=[{"name": "look", "args": {}, "id": "t1"}],
            response_metadata={"model_provider": "anthropic"},
        ),
        {"content": "Hi", "tool_calls": [{**_call(), "id": "t1"}]},
    ),
    "Anthropic, without its name": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
                {"type": "text", "text": "Hi"},
            ]
        ),
        {"content": "Hi"},
    ),
    "Anthropic, nothing but thinking": (
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}]),
        {"content": ""},
    ),
    "standard blocks": (
        AIMessage(
            [
                {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "x"}},
                {"type": "text", "text": "Hi"},
                {"type": "non_standard", "value": {"type": "its_own"}},
                {"type": "image", "file_id": "f1"},
            ],
            response_metadata={"model_provider": "anthropic", "output_version": "v1"},
        ),
        {"content": "Hi"},
    ),
    "OpenAI Responses": (
        AIMessage(
            [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "text", "text": "Hi", "annotations": [], "id": "msg_1"},
                {"type": "some_new_call", "id": "n1"},
            ],
            response_metadata={"model_provider": "openai"},
        ),
        {"content": "Hi"},
    ),
    "OpenAI Responses, standard blocks": (
        AIMessage(
            content_blocks=[
                {"type": "output_text", "text": "Hi"},  # type: ignore[list-item]
                {"type": "tool_call", "id": "t1", "name": "look", "args": {}, "extras": {"item_id": "fc_1"}},
            ],
            response_metadata={"model_provider": "openai", "output_version": "v1"},
        ),
        {"content": "Hi", "tool_calls": [{**_call(), "id": "t1"}]},
    ),
    "OpenAI Responses, an old form": (
        AIMessage(
            "Hi",
            additional_kwargs={"reasoning": {"id": "rs_1", "summary": []}, "audio": {"id": "audio_1"}},
            response_metadata={"model_provider": "openai"},
        ),
        {"content": "Hi"},
    ),
    "Gemini": (
        AIMessage(
            [{"type": "thinking", "thinking": "hm"}, {"type": "executable_code", "executable_code": "1"}, "Hi"],
            response_metadata={"model_provider": "google_genai"},
        ),
        {"content": "Hi"},
    ),
    "DeepSeek": (
        AIMessage(
            "Hi", additional_kwargs={"reasoning_content": "hm"}, response_metadata={"model_provider": "deepseek"}
        ),
        {"content": "Hi", "reasoning_content": "hm"},
    ),
    "OpenRouter": (
        AIMessage("Hi", additional_kwargs={"reasoning_content": "hm", "reasoning_details": [CLOSED]}),
        {"content": "Hi", "reasoning_details": [CLOSED]},
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_conversation_may_come_from_another_service(ask: Any, model: Any, gateway: Any, name: str) -> None:
    message, sent = FOREIGN[name]
    await ask(model, [HumanMessage("Hello"), message, HumanMessage("Go on")])
    assert _sent(gateway) == [{"role": "assistant", **sent}]
