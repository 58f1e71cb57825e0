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

HEAD = {"id": "gen-1", "model": "a/served", "provider": "P", "created": 5, "system_fingerprint": "fp"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.0123}


def read_stream(*deltas: dict[str, Any], finish: str | None = "stop", usage: Any = USAGE) -> Completion:
    """Read a stream of deltas as the gateway wraps them, and hold that its pieces are its answer."""
    reader = StreamReader()
    found = [
        reader.read({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas
    ]
    found.append(reader.read({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    found.append(
        reader.read(
            {**HEAD, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}], "usage": usage}
        )
    )
    pieces = [delta for delta in found if delta is not None]
    answer = reader.completion("a/asked")
    assert "".join(delta.text for delta in pieces) == answer.text
    assert "".join(delta.reasoning for delta in pieces) == answer.reasoning
    for index, call in enumerate(answer.tool_calls):
        mine = [piece for delta in pieces for piece in delta.tool_calls if piece.index == index]
        assert [piece.id for piece in mine] == [call.id] + [None] * (len(mine) - 1)
        assert [piece.name for piece in mine if piece.name] == ([call.name] if call.name else [])
        assert "".join(piece.arguments for piece in mine) == call.arguments
    assert {piece.index for delta in pieces for piece in delta.tool_calls} == set(range(len(answer.tool_calls)))
    return answer


def read_whole(message: dict[str, Any], finish: str = "stop") -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return read_completions({**HEAD, "choices": [choice], "usage": USAGE}, "a/asked")[0]


def calls(*deltas: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    answer = read_stream(*({"tool_calls": pieces} for pieces in deltas), finish="tool_calls")
    return [(call.id, call.name, call.arguments) for call in answer.tool_calls]


def piece(
    arguments: object = None, *, index: object = None, id_: object = None, name: object = None, **more: Any
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    outer = {key: value for key, value in (("index", index), ("id", id_)) if value is not None}
    return {**outer, "type": "function", "function": function, **more}


TWO = [("c1", "one", '{"a":1}'), ("c2", "two", '{"b":2}')]
FORMS: dict[str, list[list[dict[str, Any]]]] = {
    "as OpenAI does": [
        [piece("", index=0, id_="c1", name="one")],
        [piece('{"a"', index=0)],
        [piece(":1}", index=0)],
        [piece("", index=1, id_="c2", name="two")],
        [piece('{"b":2}', index=1)],
    ],
    "index as text": [
        [piece("", index="0", id_="c1", name="one")],
        [piece('{"a":1}', index="0")],
        [piece('{"b":', index="1", id_="c2", name="two")],
        [piece("2}", index="1")],
    ],
    "without index": [
        [piece('{"a"', id_="c1", name="one")],
        [piece(":1}")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":2}')],
    ],
    "without index, ids repeated": [
        [piece('{"a"', id_="c1", name="one")],
        [piece(":1}", id_="c1")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":2}', id_="c2")],
    ],
    "id and name in every piece": [
        [piece('{"a"', index=0, id_="c1", name="one")],
        [piece(":1}", index=0, id_="c1", name="one")],
        [piece('{"b":', index=1, id_="c2", name="two")],
        [piece("2}", index=1, id_="c2", name="two")],
    ],
    "both in one chunk": [
        [piece('{"a":1}', index=0, id_="c1", name="one"), piece('{"b":', index=1, id_="c2", name="two")],
        [piece("2}", index=1)],
    ],
    "both in one chunk, all at index 0": [
        [piece('{"a":1}', index=0, id_="c1", name="one"), piece('{"b":2}', index=0, id_="c2", name="two")]
    ],
    "interleaved": [
        [piece("", index=0, id_="c1", name="one"), piece("", index=1, id_="c2", name="two")],
        [piece('{"b":', index=1)],
        [piece('{"a":', index=0)],
        [piece("2}", index=1), piece("1}", index=0)],
    ],
    "interleaved by id": [
        [piece("", id_="c1", name="one")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":', id_="c2"), piece('{"a":', id_="c1")],
        [piece("1}", id_="c1"), piece("2}", id_="c2")],
    ],
    "all at index 0": [
        [piece('{"a":', index=0, id_="c1", name="one")],
        [piece("1}", index=0)],
        [piece('{"b":', index=0, id_="c2", name="two")],
        [piece("2}", index=0)],
    ],
    "index from 1, with gaps": [
        [piece("", index=1, id_="c1", name="one")],
        [piece('{"a":1}', index=1)],
        [piece("", index=7, id_="c2", name="two")],
        [piece('{"b":2}', index=7)],
    ],
    "arguments as an object": [
        [piece({"a": 1}, index=0, id_="c1", name="one")],
        [piece({"b": 2}, index=1, id_="c2", name="two")],
    ],
    "empty ids and names after the first": [
        [piece("", index=0, id_="c1", name="one")],
        [piece('{"a":1}', index=0, id_="", name="")],
        [piece("", index=1, id_="c2", name="two")],
        [piece('{"b":2}', index=1, id_="", name="")],
    ],
    "a closing piece repeats the name": [
        [piece('{"a":1}', index=0, id_="c1", name="one")],
        [piece("", index=0, name="one")],
        [piece('{"b":2}', index=1, id_="c2", name="two")],
        [piece("", index=1, id_="c2", name="two")],
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_two_calls_come_out_whatever_the_pieces_look_like(form: str) -> None:
    expected = [(id_, name, arguments.replace(":", ": ")) for id_, name, arguments in TWO] if "object" in form else TWO
    assert calls(*FORMS[form]) == expected


@pytest.mark.parametrize("index", [0, None, "0"], ids=["number", "none", "text"])
def test_calls_without_ids_get_one_each(index: object) -> None:
    found = calls(
        [piece('{"a":', index=index, name="one")],
        [piece("1}", index=index)],
        [piece('{"b":2}', index=index, name="two")],
        [piece('{"b":3}', index=index, name="two")],
    )
    assert [(name, arguments) for _, name, arguments in found] == [
        ("one", '{"a":1}'),
        ("two", '{"b":2}'),
        ("two", '{"b":3}'),
    ]
    assert len({id_ for id_, _, _ in found}) == 3
    assert all(id_.startswith("call_gen-1_") for id_, _, _ in found)


def test_two_calls_without_ids_and_arguments_stay_two() -> None:
    assert [(n, a) for _, n, a in calls([piece("", name="one")], [piece("", name="two")])] == [("one", ""), ("two", "")]


def test_an_id_that_comes_late_does_not_change_the_one_given_out() -> None:
    (only,) = calls(
        [piece("", index=0, name="one")], [piece('{"a":1}', index=0, id_="late")], [piece("", index=0, id_="late")]
    )
    assert only == ("call_gen-1_0", "one", '{"a":1}')


def test_after_a_late_id_a_further_id_is_a_further_call() -> None:
    found = calls(
        [piece("", index=0, name="one")],
        [piece('{"a":1}', index=0, id_="late")],
        [piece('{"b":2}', index=0, id_="other", name="two")],
    )
    assert [(name, arguments) for _, name, arguments in found] == [("one", '{"a":1}'), ("two", '{"b":2}')]


def test_a_name_that_comes_late_belongs_to_its_call() -> None:
    assert calls([piece("", index=0, id_="c1")], [piece('{"a":1}', index=0, name="one")]) == [TWO[0]]


@pytest.mark.parametrize("arguments", ["", "{", "not json", "[1]", '"{}"', "{}{}", "null", "\ud83d"])
def test_arguments_stay_as_they_came(arguments: str) -> None:
    assert calls([piece(arguments, index=0, id_="c1", name="one")]) == [("c1", "one", arguments)]
    assert calls(*([piece(char, index=0, id_="c1", name="one")] for char in arguments or " ")) == [
        ("c1", "one", arguments or " ")
    ]


def test_what_else_comes_with_a_call_goes_back_with_it() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "QUJD"}}}
    answer = read_stream({"tool_calls": [piece("{}", index=0, id_="c1", name="one", **extra)]})
    assert answer.tool_calls[0].as_message_part() == {
        **extra,
        "id": "c1",
        "type": "function",
        "function": {"name": "one", "arguments": "{}"},
    }


def test_a_function_call_of_old() -> None:
    old = {"function_call": {"name": "one", "arguments": '{"a":1}'}}
    assert read_stream(old).tool_calls == read_whole(old).tool_calls
    assert [(call.name, call.arguments) for call in read_whole(old).tool_calls] == [("one", '{"a":1}')]


def test_text_beside_a_call_in_one_piece_loses_neither() -> None:
    answer = read_stream({"content": "Calling.", "tool_calls": [piece("{}", index=0, id_="c1", name="one")]})
    assert (answer.text, len(answer.tool_calls)) == ("Calling.", 1)


def test_text_beside_reasoning_in_one_piece_loses_neither() -> None:
    answer = read_stream({"content": "So.", "reasoning": "Hm."}, {"content": "Yes.", "reasoning_content": "Ah."})
    assert (answer.text, answer.reasoning) == ("So.Yes.", "Hm.Ah.")


def detail(text: str | None = None, signature: str | None = None, **more: Any) -> dict[str, Any]:
    fields = {"text": text, "signature": signature}
    kept = {key: value for key, value in fields.items() if value is not None}
    return {"type": "reasoning.text", **kept, "format": "anthropic-claude-v1", "index": 0, **more}


def _told_twice(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "reasoning": text, "reasoning_details": [detail(text, **more)]}


ENCRYPTED = {"type": "reasoning.encrypted", "data": "QUJD", "id": "rs_1", "format": "openai-responses-v1", "index": 0}
SUMMARY = {"type": "reasoning.summary", "summary": "I think.", "format": "openai-responses-v1", "index": 0}
GEMINI = {"type": "reasoning.encrypted", "data": "R0VN", "id": "t1", "format": "google-gemini-v1", "index": 0}
REASONING: dict[str, tuple[list[dict[str, Any]], str, dict[str, Any]]] = {
    "Anthropic: signed text in pieces": (
        [_told_twice("I"), _told_twice(" think"), _told_twice("."), {"reasoning_details": [detail(signature="U0lH")]}],
        "I think.",
        {"reasoning_details": [detail("I think.", "U0lH")]},
    ),
    "Anthropic: signature null in every piece": (
        [
            {"reasoning": "ha", "reasoning_details": [{**detail("ha"), "signature": None}]},
            {"reasoning": "ha", "reasoning_details": [{**detail("ha"), "signature": None}]},
            {"reasoning_details": [detail("", "U0lH")]},
        ],
        "haha",
        {"reasoning_details": [detail("haha", "U0lH")]},
    ),
    "Anthropic: details only": (
        [
            {"reasoning_details": [detail("ha")]},
            {"reasoning_details": [detail("ha")]},
            {"reasoning_details": [detail("!")]},
        ],
        "haha!",
        {"reasoning_details": [detail("haha!")]},
    ),
    "Anthropic: the whole text again with its signature": (
        [
            {"reasoning_details": [detail("I")]},
            {"reasoning_details": [detail(" think")]},
            {"reasoning_details": [detail("I think", "U0lH")]},
        ],
        "I think",
        {"reasoning_details": [detail("I think", "U0lH")]},
    ),
    "Anthropic: two blocks": (
        [
            _told_twice("One"),
            {"reasoning_details": [detail(signature="UzE=")]},
            _told_twice("Two"),
            {"reasoning_details": [detail(signature="UzI=")]},
        ],
        "OneTwo",
        {"reasoning_details": [detail("One", "UzE="), detail("Two", "UzI=")]},
    ),
    "Anthropic: two blocks by index": (
        [
            {"reasoning_details": [detail("One")]},
            {"reasoning_details": [detail("Two", index=1)]},
            {"reasoning_details": [detail(signature="UzI=", index=1)]},
            {"reasoning_details": [detail(signature="UzE=")]},
        ],
        "OneTwo",
        {"reasoning_details": [detail("One", "UzE="), detail("Two", "UzI=", index=1)]},
    ),
    "Gemini: encrypted beside text": (
        [_told_twice("I think"), {"reasoning_details": [GEMINI]}],
        "I think",
        {"reasoning_details": [detail("I think"), GEMINI]},
    ),
    "OpenAI: a summary in pieces, then encrypted": (
        [
            {"reasoning": "I ", "reasoning_details": [{**SUMMARY, "summary": "I "}]},
            {"reasoning": "think.", "reasoning_details": [{**SUMMARY, "summary": "think."}]},
            {"reasoning_details": [ENCRYPTED]},
        ],
        "I think.",
        {"reasoning_details": [SUMMARY, ENCRYPTED]},
    ),
    "OpenAI: two encrypted blocks": (
        [{"reasoning_details": [ENCRYPTED]}, {"reasoning_details": [{**ENCRYPTED, "data": "REVG", "id": "rs_2"}]}],
        "",
        {"reasoning_details": [ENCRYPTED, {**ENCRYPTED, "data": "REVG", "id": "rs_2"}]},
    ),
    "Kimi and DeepSeek: reasoning_content": (
        [{"reasoning_content": "I "}, {"reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think."},
    ),
    "the same text under both names": (
        [{"reasoning": "I ", "reasoning_content": "I "}, {"reasoning": "think.", "reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think."},
    ),
    "the same text in all three forms": (
        [{**_told_twice("I "), "reasoning_content": "I "}, {**_told_twice("think."), "reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think.", "reasoning_details": [detail("I think.")]},
    ),
    "plain": ([{"reasoning": "I "}, {"reasoning": "think."}], "I think.", {"reasoning": "I think."}),
    "none": ([{"reasoning": None, "reasoning_details": None, "reasoning_content": ""}], "", {}),
}


@pytest.mark.parametrize("form", REASONING)
def test_reasoning_is_read_once_and_goes_back_whole(form: str) -> None:
    deltas, text, replay = REASONING[form]
    answer = read_stream(*deltas, {"content": "Yes."})
    assert (answer.text, answer.reasoning, answer.replay) == ("Yes.", text, replay)
    whole = read_whole({"content": "Yes.", **({"reasoning": text} if text else {}), **replay})
    assert (whole.reasoning, whole.replay, whole.reasoning_details) == (text, replay, answer.reasoning_details)


def test_long_reasoning_in_details_alone_is_not_read_over_and_over() -> None:
    answer = read_stream(*({"reasoning_details": [detail("word ")]} for _ in range(20_000)))
    assert answer.reasoning == "word " * 20_000


def test_a_stream_equals_the_answer_at_once() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c1", "type": "function", "function": {"name": "one", "arguments": '{"a":1}'}}
    details = [detail("I think.", "U0lH")]
    streamed = read_stream(
        {"role": "assistant", "content": "Hel"},
        _told_twice("I think."),
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
