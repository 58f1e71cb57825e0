"""Events that repeat one another are read by their text alone, and nobody can tell."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from kilocode_gateway.wire import Delta, Repeats, StreamReader

HEAD = {"id": "gen-1", "model": "a/served", "created": 5}


def event(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}
    return b"data: " + json.dumps({**HEAD, "choices": [choice], **more}, ensure_ascii=False).encode()


class Reading:
    """Reads events, and counts those that were parsed as a whole."""

    def __init__(self) -> None:
        self.reader = StreamReader()
        self.parsed = 0
        self.repeats = Repeats(self.reader)

    def read(self, written: bytes) -> Delta | None:
        delta = self.repeats.read(written)
        if delta is None:
            self.parsed += 1
            chunk = json.loads(written.removeprefix(b"data:"))
            delta = self.reader.read(chunk)
            self.repeats.note(written, chunk, delta)
        return delta


def told(reading: Reading, written: bytes) -> Delta:
    delta = reading.read(written)
    assert delta is not None
    return delta


def compare(*events: bytes) -> int:
    """Read events both ways, see that they say the same, and give how many were parsed."""
    reading, whole = Reading(), StreamReader()
    for written in events:
        found, expected = reading.read(written), whole.read(json.loads(written.removeprefix(b"data:")))
        assert found == expected
        assert found is None or found.raw == json.loads(written.removeprefix(b"data:"))
    assert reading.reader.completion("x") == whole.completion("x")
    return reading.parsed


def details(text: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "reasoning.text", "text": text, "index": 0, **more}]


FORMS: dict[str, Any] = {
    "content": lambda text: {"content": text},
    "role and content": lambda text: {"role": "assistant", "content": text},
    "reasoning": lambda text: {"content": "", "reasoning": text},
    "reasoning_content": lambda text: {"content": None, "reasoning_content": text},
    "reasoning_details": lambda text: {"reasoning_details": details(text)},
    "reasoning twice": lambda text: {"content": "", "reasoning": text, "reasoning_details": details(text)},
    "summary": lambda text: {"reasoning_details": [{"type": "reasoning.summary", "summary": text, "index": 0}]},
}
TEXTS = ["one", "two", "three", "ü 你好 \U0001f600", 'a "quoted" \\ one\n', "\u2028\x7f", "assistant", "gen-1", ","]


@pytest.mark.parametrize("form", FORMS)
def test_only_the_first_two_of_a_kind_are_parsed(form: str) -> None:
    assert compare(*[event(FORMS[form](text)) for text in TEXTS]) == 2


@pytest.mark.parametrize("lead", [b"data: ", b"data:"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_text_may_be_written_either_way(lead: bytes, ascii_only: bool) -> None:
    reading = Reading()
    for text in ("ü", "é", "你好", "\U0001f600"):
        chunk = {**HEAD, "choices": [{"delta": {"content": text}}]}
        assert told(reading, lead + json.dumps(chunk, ensure_ascii=ascii_only).encode()).text == text
    assert reading.parsed == 2


@pytest.mark.parametrize(
    "another",
    [
        event({"content": "x"}, created=6),
        event({"content": "x"}, usage={"prompt_tokens": 1}),
        event({"content": "x", "refusal": "no"}),
        event({"reasoning": "x"}),
        event({"content": ""}),
        event({"content": "x"}).replace(b'"logprobs": null', b'"logprobs": {"content": []}'),
        event({"content": "x"}).replace(b'"finish_reason": null', b'"finish_reason": "stop"'),
        event({"content": "x"}).replace(b'"x"', b'"x", "content": "y"'),
        event({"content": "x"}).replace(b'"x"', b'5, "reasoning": "x"'),
        event({"content": "x"}).replace(b'"x"', b'["x"]'),
    ],
)
def test_any_other_difference_is_parsed(another: bytes) -> None:
    assert compare(*[event({"content": text}) for text in "abc"], another) == 3


@pytest.mark.parametrize("inside", [b"\t", b"\xff", b"\\", b"\\x", b'a"', b'"', b"\\ud8", b"\x00"])
def test_what_is_no_text_is_no_repeated_event(inside: bytes) -> None:
    reading = Reading()
    for text in "abc":
        reading.read(event({"content": text}))
    assert reading.repeats.read(event({"content": "d"})) is not None
    assert reading.repeats.read(event({"content": "PLACE"}).replace(b"PLACE", inside)) is None


TEMPTING: dict[str, Any] = {
    "the text elsewhere, in another writing": lambda text: event({"content": text}, x="PLACE").replace(
        b"PLACE", "".join(f"\\u{ord(char):04x}" for char in text).encode()
    ),
    "the first text elsewhere, in another writing": lambda text: event({"content": text}, x="abcx").replace(
        b"abcx", b"abc\\u0064"
    ),
    "an empty block beside the text": lambda text: event({"reasoning": text, "reasoning_details": details("")}),
    "the text twice": lambda text: event({"content": text}, x=text),
    "a text of two parts": lambda text: event({"content": [{"type": "text", "text": part} for part in text]}, x=text),
    "a text of two parts that stay": lambda text: event(
        {"content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "cd"}]}, x=text
    ),
    "another answer": lambda text: event({"content": text}).replace(b'"index": 0', b'"index": 1'),
    "another answer before it": lambda text: event({"content": "PLACE"}).replace(
        b'{"index": 0, "delta": {"content": "PLACE"}',
        b'{"index": 1, "delta": {"content": "%b"}}, {"index": 0, "delta": {"content": [{"type": "text", "text": "ab"},'
        b'{"type": "text", "text": "cd"}]}' % text.encode(),
    ),
    "a text and a refusal": lambda text: event({"content": text, "refusal": "no"}),
    "a text and reasoning": lambda text: event({"content": text, "reasoning": "Hm."}),
    "a text that is a name, too": lambda text: event({"content": text, text: 1}),
    "probabilities": lambda text: event({"content": text}).replace(b'"logprobs": null', b'"logprobs": {"content": []}'),
    "a format that is the text": lambda text: event(
        {"reasoning": text, "reasoning_details": details("x", format=text)}
    ),
    "its format, too": lambda text: event({"reasoning": text, "reasoning_details": details(text, format=text)}),
    "two forms that differ": lambda text: event({"role": text, "reasoning": text, "reasoning_details": details("x")}),
    "a signature": lambda text: event({"reasoning_details": details(text, signature="U0lH")}),
    "a text and a summary": lambda text: event({"reasoning_details": details(text, summary="x")}),
    "two blocks": lambda text: event({"reasoning_details": [*details(text), {"type": "reasoning.text", "index": 1}]}),
    "a block in two pieces": lambda text: event(
        {"reasoning_details": [*details(text), {"type": "reasoning.text", "index": 0, "format": "x"}]}
    ),
    "a text and a closed block": lambda text: event(
        {"reasoning_details": [*details(text), {"type": "reasoning.encrypted", "data": "QQ=="}]}
    ),
    "reasoning and a closed block": lambda text: event(
        {"reasoning": text, "reasoning_details": [{"type": "reasoning.encrypted", "data": "QQ==", "index": 0}]}
    ),
    "reasoning with an image": lambda text: event({"reasoning": text, "images": [{"type": "image_url"}]}),
    "reasoning with a tool": lambda text: event({"reasoning": text, "tool_calls": [{"function": {"arguments": "x"}}]}),
}


@pytest.mark.parametrize("name", TEMPTING)
def test_nothing_else_is_read_by_its_text_alone(name: str) -> None:
    compare(*[TEMPTING[name](text) for text in ("abcd", "abcd", "efgh", "ijkl", "ijkl", "mnop")])
    compare(*[TEMPTING[name]("abcd")] * 4)


@pytest.mark.parametrize(
    "delta",
    [lambda text: {"content": text}, lambda text: {"reasoning_details": details(text)}],
    ids=["text", "reasoning"],
)
def test_what_is_done_to_one_chunk_changes_no_other(delta: Any) -> None:
    reading = Reading()
    pieces = [told(reading, event(delta(text))) for text in ("ab", "cd", "ef")]
    first = pieces[1]
    first.raw["id"] = first.raw["choices"][0]["x"] = "mine"
    for item in first.raw["choices"][0]["delta"].get("reasoning_details", []):
        item["type"] = "mine"
    pieces.append(told(reading, event(delta("gh"))))
    assert reading.parsed == 2
    assert "mine" not in str([(piece.raw, piece.reasoning_details) for piece in pieces[2:]])


def test_an_earlier_block_may_grow() -> None:
    blocks = [0, 1, 0, 0, 0, 1, 1, 1]
    compare(*[event({"reasoning_details": details(f"{place} ", index=index)}) for place, index in enumerate(blocks)])


def test_what_one_form_is_ahead_of_another_is_kept() -> None:
    both = [event({"reasoning": text, "reasoning_details": details(text)}) for text in ("x", "x", "y", "z")]
    compare(event({"reasoning": "x"}), *both, event({"reasoning_details": details("x")}))
    content = [event({"reasoning_content": text}) for text in ("x", "x", "y", "z")]
    compare(event({"reasoning": "ab"}), *content, event({"reasoning": "xxyz"}), event({"reasoning": "!"}))


def test_reasoning_that_was_closed_begins_another_block() -> None:
    thoughts = [event({"reasoning": text, "reasoning_details": details(text)}) for text in "abcd"]
    compare(*thoughts, event({"content": "So.", "reasoning_details": details("", signature="U0lH")}), *thoughts)


def test_a_stream_whose_events_differ_is_given_up() -> None:
    reading = Reading()
    for number in range(20):
        reading.read(event({"content": "a"}, created=number))
    before = reading.parsed
    for _ in range(5):
        reading.read(event({"content": "b"}))
    assert reading.parsed == before + 5


def test_a_stream_that_changes_now_and_then_is_not_given_up() -> None:
    reading = Reading()
    for number in range(20):
        for text in "abcdefghijkl":
            reading.read(event({"content": text}, created=number))
    assert reading.parsed <= 2 * 20
    assert reading.reader.text == "abcdefghijkl" * 20


def test_a_piece_is_one_like_any_other() -> None:
    reading = Reading()
    *_, early, late = [told(reading, event({"content": text})) for text in "abcd"]
    chunk = json.loads(event({"content": "d"})[6:])
    plain = Delta(text="d", raw=chunk)
    assert late == plain
    assert repr(late) == repr(plain) == repr(Delta(text="d"))
    assert late.raw is late.raw
    assert dataclasses.asdict(late) == dataclasses.asdict(plain)
    assert dataclasses.replace(late, text="e") == dataclasses.replace(plain, text="e")
    assert pickle.loads(pickle.dumps(early)).raw["choices"][0]["delta"] == {"content": "c"}
    assert copy.deepcopy(early) == copy.copy(early) == early
    late.raw["choices"][0]["delta"]["content"] = "changed"
    late.raw = {**late.raw, "id": "changed"}
    assert late.raw["choices"][0]["delta"]["content"] == "changed"
    assert (early.raw["choices"][0]["delta"]["content"], early.raw["id"]) == ("c", "gen-1")
    assert told(reading, event({"content": "d"})).raw == chunk
    assert Delta().raw == {}
    assert Delta(raw={"a": 1}) != Delta()
