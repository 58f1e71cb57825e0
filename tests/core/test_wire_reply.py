"""Reading answers: whatever form the upstream gives them, the same answer comes out, whole or streamed."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilocode_gateway.wire import Completion, Delta, StreamReader, ToolCall, Usage, read_completions
from kilocode_gateway.wire.reply import error_in
from tests.core.replies import HEAD, USAGE, detail, read_stream, read_whole, told_twice


def test_a_stream_equals_the_answer_at_once() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c1", "type": "function", "function": {"name": "one", "arguments": '{"a":1}'}}
    details = [detail("I think.", "U0lH")]
    streamed = read_stream(
        {"role": "assistant", "content": "Hel"},
        told_twice("I think."),
        {"reasoning_details": [detail(signature="U0lH")]},
        {"content": "lo"},
        {"annotations": [annotation], "images": [image], "refusal": "no "},
        {"refusal": "way"},
        {"tool_calls": [{"index": 0, **call}]},
        finish="tool_calls",
    )
    message = {
        "content": "Hello",
        "reasoning": "I think.",
        "reasoning_details": details,
        "annotations": [annotation],
        "images": [image],
        "refusal": "no way",
        "tool_calls": [call],
    }
    whole = read_whole(message, "tool_calls")
    for name in Completion.__slots__:
        if name != "raw":
            assert getattr(streamed, name) == getattr(whole, name), name
    again = read_completions(streamed.raw, "a/asked")[0]
    for name in Completion.__slots__:
        if name != "raw":
            assert getattr(again, name) == getattr(whole, name), name


@pytest.mark.parametrize("more", [{}, {"message": None, "delta": None}])
def test_a_bare_text_is_an_answer_too(more: dict[str, Any]) -> None:
    choices = [{"index": 0, "text": text, "finish_reason": None, **more} for text in ("a +", " b")]
    reader = StreamReader()
    found = [reader.read({**HEAD, "choices": [choice]}) for choice in choices]
    assert [delta and delta.text for delta in found] == ["a +", " b"]
    reader.read({**HEAD, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": USAGE})
    whole = {**HEAD, "choices": [{"index": 0, "text": "a + b", "finish_reason": "stop", **more}], "usage": USAGE}
    answers = (reader.completion("a/asked"), read_completions(whole, "a/asked")[0])
    assert [(one.text, one.finish_reason, one.usage) for one in answers] == [("a + b", "stop", Usage.read(USAGE))] * 2


def test_audio_and_probabilities_are_put_together() -> None:
    reader = StreamReader()
    for delta, logprobs in (
        ({"audio": {"id": "a1", "data": "QU", "transcript": "He"}}, {"content": [{"token": "He"}], "refusal": None}),
        ({"audio": {"data": "JD", "transcript": "llo", "expires_at": 5}}, {"content": [{"token": "llo"}]}),
    ):
        found = reader.read({**HEAD, "choices": [{"index": 0, "delta": delta, "logprobs": logprobs}]})
        assert found is not None
        assert (found.audio, found.logprobs) == (delta["audio"], logprobs)
    answer = reader.completion("x")
    assert answer.audio == {"id": "a1", "data": "QUJD", "transcript": "Hello", "expires_at": 5}
    assert answer.logprobs == {"content": [{"token": "He"}, {"token": "llo"}], "refusal": None}


def test_pieces_keep_the_chunk_they_came_in_untouched() -> None:
    chunk = {
        **HEAD,
        "choices": [
            {
                "index": 0,
                "delta": {"audio": {"data": "QU"}, "content": [{"type": "text", "text": "x"}]},
                "logprobs": {"content": [1]},
            }
        ],
    }
    before = json.dumps(chunk)
    reader = StreamReader()
    for _ in range(3):
        found = reader.read(chunk)
        assert isinstance(found, Delta)
        assert found.raw is chunk
    assert json.dumps(chunk) == before
    assert reader.text == "xxx"


def test_probabilities_that_begin_with_null_leave_the_chunks_untouched_too() -> None:
    pieces = [{"content": tokens} for tokens in (None, [{"token": "a"}], [{"token": "b"}])]
    before = json.dumps(pieces)
    reader = StreamReader()
    for logprobs in pieces:
        reader.read({**HEAD, "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": logprobs}]})
    assert reader.completion("x").logprobs == {"content": [{"token": "a"}, {"token": "b"}]}
    assert json.dumps(pieces) == before


@pytest.mark.parametrize("content", [[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"])
def test_content_in_parts(content: object) -> None:
    assert read_stream({"content": content}).text == "ab"
    assert read_whole({"content": content}).text == "ab"


def test_the_first_finish_reason_stays_and_the_last_usage_counts() -> None:
    reader = StreamReader()
    for finish, usage in (("length", None), (None, {**USAGE, "completion_tokens": 1}), ("stop", USAGE), (None, None)):
        choice = {"index": 0, "delta": {}, "finish_reason": finish, "native_finish_reason": finish and finish.upper()}
        assert reader.read({**HEAD, "choices": [choice], "usage": usage}) is None
    answer = reader.completion("x")
    assert (answer.finish_reason, answer.native_finish_reason) == ("length", "LENGTH")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 4
    assert reader.last().finish_reason == "length"


@pytest.mark.parametrize("count", [int("9" * 4300), -(10**400), 1e300, float("inf"), True, "5"], ids=range(6))
def test_a_count_that_is_none_can_be_added_up_and_shown(count: object) -> None:
    used = Usage.read({"prompt_tokens": count, "completion_tokens": 4, "total_tokens": count})
    assert used is not None
    assert (used.input_tokens, used.output_tokens, used.total_tokens) == (0, 4, 4)


@pytest.mark.parametrize("native", [["end"], {"reason": "end"}, 5, None, ""], ids=repr)
def test_a_native_finish_reason_is_a_text_or_absent(native: object) -> None:
    choice = {"index": 0, "finish_reason": "stop", "native_finish_reason": native}
    reader = StreamReader()
    reader.read({**HEAD, "choices": [{**choice, "delta": {}}]})
    whole = read_completions({**HEAD, "choices": [{**choice, "message": {"content": ""}}]}, "x")[0]
    assert reader.completion("x").native_finish_reason is whole.native_finish_reason is None


@pytest.mark.parametrize("choices", [[], None, {}, "x", [None], [{}], [{"index": 0}], [{"index": 0, "delta": None}]])
def test_chunks_that_bring_nothing(choices: object) -> None:
    reader = StreamReader()
    assert reader.read({"choices": choices, "usage": USAGE}) is None
    assert reader.completion("x").usage is not None


def test_only_the_first_of_several_answers_is_streamed_on() -> None:
    reader = StreamReader()
    for one, two in (("a", "x"), ("b", "y")):
        choices = [{"index": 1, "delta": {"content": two}}, {"index": 0, "delta": {"content": one}}]
        found = reader.read({**HEAD, "choices": choices})
        assert found is not None
        assert found.text == one
        assert reader.read({"choices": [choices[0]]}) is None
    assert reader.text == "ab"


def test_an_index_as_text_loses_nothing() -> None:
    reader = StreamReader()
    assert reader.read({"choices": [{"index": "0", "delta": {"content": "a"}}]}) is not None


def test_several_whole_answers() -> None:
    payload = {
        **HEAD,
        "usage": USAGE,
        "choices": [{"index": n, "message": {"content": str(n)}, "finish_reason": "stop"} for n in (0, 1)],
    }
    first, second = read_completions(payload, "x")
    assert (first.text, second.text, first.index, second.index) == ("0", "1", 0, 1)
    assert first.usage is not None
    assert second.usage is None


def test_what_the_vercel_route_adds() -> None:
    metadata = {"gateway": {"routing": {"finalProvider": "bedrock"}, "cost": "0.5"}}
    for answer in (
        read_stream({"content": "x"}, {"provider_metadata": metadata}),
        read_whole({"content": "x", "provider_metadata": metadata}),
    ):
        assert answer.provider == "P"
        assert answer.usage is not None
        assert answer.usage.cost == Decimal("0.0123")
    reader = StreamReader()
    reader.read(
        {"id": "1", "choices": [{"index": 0, "delta": {"provider_metadata": metadata}}], "usage": {"prompt_tokens": 1}}
    )
    found = reader.completion("x")
    assert found.usage is not None
    assert (found.provider, found.usage.cost) == ("bedrock", Decimal("0.5"))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (0.1, "0.1"),
        ("0.000000123456789012345", "0.000000123456789012345"),
        (0, "0"),
        (1e-9, "1E-9"),
        (None, None),
        ("", None),
        ("free", None),
        (-1, None),
        ("-1.0", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e999999", None),
        (True, None),
        ([1], None),
    ],
)
def test_cost_is_exact_or_unknown(cost: object, expected: str | None) -> None:
    usage = Usage.read({"prompt_tokens": 1, "cost": cost})
    assert usage is not None
    assert usage.cost == (None if expected is None else Decimal(expected))


def test_every_part_of_usage() -> None:
    raw = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 16,
        "cost": 0.25,
        "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.2},
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
    }
    usage = Usage.read(raw)
    assert usage == Usage(10, 5, 16, 4, 2, 3, 1, 0, Decimal("0.25"), True, {"upstream_inference_cost": 0.2}, raw)
    assert Usage.read({"prompt_tokens": 2, "completion_tokens": 3.0}) == Usage(
        2, 3, 5, raw={"prompt_tokens": 2, "completion_tokens": 3.0}
    )


@pytest.mark.parametrize("usage", [None, {}, [], "x", 5, True])
def test_no_usage_is_none(usage: object) -> None:
    assert Usage.read(usage) is None
    assert read_stream({"content": "x"}, usage=usage).usage is None


@pytest.mark.parametrize(
    "choices", [None, [], {}, "x", [None], [{}], [{"message": None}], [{"message": "x"}], [{"delta": {"content": "x"}}]]
)
def test_a_reply_without_a_message_is_none(choices: object) -> None:
    with pytest.raises(ValueError, match=r"no choices|a choice without a message"):
        read_completions({"choices": choices}, "x")


@pytest.mark.parametrize(
    ("payload", "failed"),
    [
        ({"error": {"message": "x"}}, True),
        ({"error": "x", "choices": []}, True),
        ({"error": None, "choices": [{"finish_reason": "stop"}]}, False),
        ({"error": {}, "choices": []}, False),
        ({"choices": [{"finish_reason": "error"}]}, True),
        ({"choices": [{"error": {"message": "x"}, "finish_reason": "stop"}]}, True),
        ({"choices": 5}, False),
        ({"choices": {"a": 1}}, False),
        ({"choices": [None, 5]}, False),
        ({}, False),
    ],
)
def test_an_error_inside_a_200_is_found(payload: dict[str, Any], failed: bool) -> None:
    assert (error_in(payload) is not None) is failed


def test_what_is_missing_in_a_call_of_a_whole_reply() -> None:
    raw = [{"function": {"name": "one", "arguments": {"a": 1}}}, {"id": 5, "function": None}, None, "x"]
    assert read_whole({"content": None, "tool_calls": raw}).tool_calls == [
        ToolCall("call_gen-1_0", "one", '{"a": 1}', {}),
        ToolCall("call_gen-1_1", "", "", {}),
    ]


_names = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_details",
        "reasoning_content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "id",
        "type",
        "text",
        "summary",
        "signature",
        "data",
        "usage",
        "cost",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "error",
        "code",
        "finish_reason",
        "audio",
        "logprobs",
        "images",
        "annotations",
        "refusal",
        "provider_metadata",
        "gateway",
        "routing",
        "finalProvider",
        "metadata",
        "raw",
        "function_call",
    ]
)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


_chunk = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"index": st.just(0), "delta": st.dictionaries(_names, _json, max_size=4)})
        )
    }
)


@settings(deadline=None)
@given(st.lists(_chunk | st.dictionaries(_names, _json, max_size=4), max_size=5))
def test_any_json_can_be_read(chunks: list[dict[str, Any]]) -> None:
    reader = StreamReader()
    for chunk in chunks:
        error_in(chunk)
        reader.read(chunk)
    reader.last()
    reader.completion("x")


@settings(deadline=None)
@given(st.dictionaries(_names, _json, max_size=6))
def test_any_json_is_an_answer_or_a_value_error(payload: dict[str, Any]) -> None:
    whole = {**payload, "choices": [{"message": payload}], "usage": payload}
    assert len(read_completions(whole, "x")) == 1
    with contextlib.suppress(ValueError):
        read_completions(payload, "x")
