"""Usage, cost and metadata: the same whole and streamed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from kilocode_gateway import track_usage
from kilocode_gateway.local import Reply
from kilocode_gateway.wire import Delta, ToolCallDelta
from langchain_kilocode._replies import to_chunk

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "cost": 0.0125,
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": 0.01},
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 1},
}
HEAD = {
    "id": "gen-1",
    "created": 7,
    "model": "anthropic/served",
    "provider": "Anthropic",
    "system_fingerprint": "fp",
    "service_tier": "flex",
}
LOGPROBS = [
    {"token": "He", "logprob": -0.1, "bytes": [72], "top_logprobs": []},
    {"token": "llo", "logprob": -0.2, "bytes": [73], "top_logprobs": []},
]


def _whole() -> Reply:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
        "message": {"role": "assistant", "content": "Hello"},
        "logprobs": {"content": LOGPROBS, "refusal": None},
    }
    return Reply.raw(200, {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def _chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {
        **HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}],
    }


def _stream(*, late: bool) -> Reply:
    chunks = [
        _chunk({"content": text}, logprobs={"content": [one], "refusal": None})
        for text, one in zip(("He", "llo"), LOGPROBS, strict=True)
    ]
    end = _chunk({"content": ""}, finish_reason="stop", native_finish_reason="end_turn")
    # Streams of the gateway bring the usage after the finish, beside an empty delta or with no choice at all.
    usage = {**_chunk({"content": ""}), "usage": USAGE} if late else {**HEAD, "choices": [], "usage": USAGE}
    return Reply.chunks([*chunks, end, usage])


EXPECTED = {
    "model_provider": "kilocode",
    "model_name": "anthropic/served",
    "requested_model": "anthropic/claude-sonnet-4.6",
    "provider": "Anthropic",
    "id": "gen-1",
    "created": 7,
    "finish_reason": "stop",
    "native_finish_reason": "end_turn",
    "system_fingerprint": "fp",
    "service_tier": "flex",
    "logprobs": {"content": LOGPROBS, "refusal": None},
    "token_usage": USAGE,
    "cost": 0.0125,
    "cost_details": {"upstream_inference_cost": 0.01},
    "is_byok": False,
}


@pytest.mark.parametrize("late", [True, False])
async def test_metadata_and_usage(ask: Any, model: Any, gateway: Any, late: bool) -> None:
    gateway.script(_stream(late=late) if "stream" in ask.__name__ else _whole())
    answer = await ask(model, "Hello")
    assert answer.text == "Hello"
    assert answer.response_metadata == EXPECTED
    assert answer.usage_metadata == {
        "input_tokens": 100,
        "output_tokens": 50,
        "total_tokens": 150,
        "input_token_details": {"cache_read": 40, "cache_creation": 30, "audio": 2},
        "output_token_details": {"reasoning": 20, "audio": 1},
    }


def _repeating() -> list[dict[str, Any]]:
    """Give a stream whose upstream says each closing thing again and again."""
    end = _chunk({"content": ""}, finish_reason="stop", native_finish_reason="end_turn")
    usage = {**HEAD, "choices": [], "usage": USAGE}
    return [
        _chunk({"role": "assistant", "content": "He"}, logprobs={"content": LOGPROBS[:1], "refusal": None}),
        _chunk({"role": "assistant", "content": "llo"}, logprobs={"content": LOGPROBS[1:], "refusal": None}),
        *[end, end, {**end, "usage": USAGE}, usage, usage, _chunk({"role": "assistant", "content": ""}), end, usage],
    ]


@pytest.mark.parametrize("version", [None, "v1"])
async def test_repeated_finish_and_usage_say_nothing_twice(
    ask_streamed: Any, make_model: Any, gateway: Any, version: str | None
) -> None:
    gateway.script(Reply.chunks(_repeating()))
    marks = {} if version is None else {"output_version": "v1"}
    with track_usage() as used:
        answer = await ask_streamed(make_model(output_version=version), "Hello")
    assert answer.text == "Hello"
    assert answer.response_metadata == {**EXPECTED, **marks}
    assert answer.usage_metadata["total_tokens"] == 150
    assert (used.total.calls, float(used.total.cost)) == (1, 0.0125)


@pytest.mark.parametrize("version", [None, "v1"])
async def test_invoke_over_a_stream_gives_the_same(make_model: Any, gateway: Any, version: str | None) -> None:
    model = make_model(streaming=True, output_version=version)
    marks = {} if version is None else {"output_version": "v1"}
    for way in (model.invoke, model.ainvoke):
        gateway.script(_stream(late=True))
        answer = way("Hello")
        answer = answer if isinstance(answer, AIMessage) else await answer
        assert gateway.last_request.json["stream"] is True
        assert answer.response_metadata == {**EXPECTED, **marks}
        assert answer.text == "Hello"
        assert answer.usage_metadata["total_tokens"] == 150


@pytest.mark.parametrize("reply", [_stream(late=True), _stream(late=False), Reply.chunks(_repeating())])
def test_one_chunk_carries_usage(model: Any, gateway: Any, reply: Reply) -> None:
    gateway.script(reply)
    chunks = list(model.stream("Hello"))
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False, False, True]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, "last"]
    assert {chunk.response_metadata["model_provider"] for chunk in chunks} == {"kilocode"}


def test_stream_usage_can_be_turned_off(model: Any, gateway: Any) -> None:
    gateway.script(_stream(late=True))
    assert not [chunk for chunk in model.stream("Hello", stream_usage=False) if chunk.usage_metadata]


async def test_unknown_usage_stays_unknown(ask: Any, model: Any, gateway: Any) -> None:
    if "stream" in ask.__name__:
        gateway.script(Reply.chunks([{"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}]))
    else:
        gateway.script(
            Reply.raw(200, {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi"}}]})
        )
    answer = await ask(model, "Hello")
    assert answer.usage_metadata is None
    assert answer.response_metadata == {
        "model_provider": "kilocode",
        "model_name": "anthropic/claude-sonnet-4.6",
        "requested_model": "anthropic/claude-sonnet-4.6",
        "finish_reason": "stop",
    }


async def test_usage_is_counted(ask: Any, model: Any, gateway: Any) -> None:
    handler = UsageMetadataCallbackHandler()
    with track_usage() as used:
        for _ in range(2):
            gateway.script(_stream(late=True) if "stream" in ask.__name__ else _whole())
            await ask(model, "Hello", config={"callbacks": [handler]})
    assert used.total.input_tokens == 200
    assert float(used.total.cost) == 0.025
    assert handler.usage_metadata["anthropic/served"]["total_tokens"] == 300


def test_batch_keeps_its_order(model: Any, gateway: Any) -> None:
    answers = model.batch([f"Number {number}?" for number in range(5)])
    assert all(isinstance(answer, AIMessage) and answer.text for answer in answers)
    assert len(gateway.requests) == 5


def _fields(thing: Any) -> dict[str, Any]:
    return {
        "fields": dict(thing.__dict__),
        "set": thing.__pydantic_fields_set__,
        "extra": thing.__pydantic_extra__,
        "private": thing.__pydantic_private__,
    }


@pytest.mark.parametrize(
    ("delta", "extra"),
    [
        (Delta(text="He"), {}),
        (Delta(text="\u2028 \U0001f600 \x00"), {}),
        (Delta(reasoning="Hm"), {"reasoning_content": "Hm"}),
        (Delta(text="He", reasoning="Hm"), {"reasoning_content": "Hm"}),
        (Delta(text="He", images=[{"type": "image_url"}], refusal="No"), {}),
    ],
)
def test_unchecked_chunks_equal_checked_ones(delta: Delta, extra: dict[str, Any]) -> None:
    fast = to_chunk(delta)
    message = AIMessageChunk(
        content=delta.text,
        additional_kwargs=extra,
        response_metadata={"model_provider": "kilocode"},
        tool_call_chunks=[],
    )
    checked = ChatGenerationChunk(message=message, generation_info=None)
    assert fast is not None
    assert fast == checked
    assert repr(fast) == repr(checked)
    assert fast.model_dump() == checked.model_dump()
    assert fast.model_dump_json() == checked.model_dump_json()
    assert _fields(fast.message) == _fields(checked.message)
    assert list(fast.message.__dict__) == list(checked.message.__dict__)
    assert _fields(fast) == _fields(checked)
    assert fast + fast == checked + checked
    assert fast.message + fast.message == message + message
    assert fast.message.model_copy() == message
    assert pickle.loads(pickle.dumps(fast)) == checked
    assert copy.deepcopy(fast) == checked


def test_unchecked_chunks_share_nothing() -> None:
    first, second = to_chunk(Delta(text="He")), to_chunk(Delta(text="He"))
    assert first is not None
    assert second is not None
    untouched = copy.deepcopy(second)
    first.message.id = "changed"
    message = first.message
    assert isinstance(message, AIMessageChunk)
    for held in (message.tool_calls, message.invalid_tool_calls, message.tool_call_chunks):
        held.append(None)
    message.additional_kwargs["a"] = message.response_metadata["a"] = 1
    for made in (first, message):
        if made.__pydantic_extra__ is not None:
            made.__pydantic_extra__["a"] = 1
    assert second == untouched
    assert "id" not in second.message.model_fields_set
    assert to_chunk(Delta(text="He")) == untouched


def test_other_deltas_are_checked() -> None:
    chunk = to_chunk(Delta(tool_calls=[ToolCallDelta(0, "a", "look", '{"a"')]))
    assert chunk is not None
    assert chunk.message.tool_call_chunks[0]["args"] == '{"a"'
    assert to_chunk(Delta(annotations=[{"type": "url_citation"}])) is None
