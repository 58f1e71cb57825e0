"""Events that repeat one another: they say what they would say if each were parsed and read as a whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.sse import EventDecoder, NotJSONError
from kilocode_gateway.streams import AnswerDecoder
from kilocode_gateway.wire import Delta, StreamReader
from kilocode_gateway.wire.reply import error_in
from kilocode_gateway.wire.templates import template_of
from tests.properties.holding import holds
from tests.properties.test_stream_bytes import objects, opened
from tests.properties.values import altered, cuts, damaged, scalars, split, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn

HEAD: dict[str, Any] = {"id": "gen-1", "model": "a/served", "provider": "P", "created": 5, "system_fingerprint": None}
PLACE = "the text's place"
DETAIL = {"type": "reasoning.text", "text": PLACE, "format": "unknown", "index": 0}
SUMMARY = {"type": "reasoning.summary", "summary": PLACE, "index": 0, "id": "r1"}
DELTAS: list[dict[str, Any]] = [
    {"content": PLACE},
    {"role": "assistant", "content": PLACE},
    {"content": "", "reasoning": PLACE},
    {"role": "assistant", "content": None, "reasoning_content": PLACE, "tool_calls": []},
    {"reasoning": PLACE, "reasoning_content": PLACE},
    {"role": "assistant", "content": "", "reasoning": PLACE, "reasoning_details": [DETAIL]},
    {"reasoning_details": [DETAIL]},
    {"reasoning": PLACE, "reasoning_details": [SUMMARY]},
    {"reasoning": PLACE, "reasoning_details": [{"type": "reasoning.text", "text": PLACE}]},
]
ODD_DELTAS: list[dict[str, Any]] = [
    {"content": PLACE, "reasoning": PLACE},
    {"reasoning": PLACE, "reasoning_details": [{**DETAIL, "text": ""}]},
    {"content": PLACE, "refusal": PLACE},
    {"content": [{"type": "text", "text": PLACE}]},
    {"reasoning": PLACE, "reasoning_details": [{**DETAIL, "signature": "U0lH"}]},
    {"reasoning_details": [{"type": "reasoning.text", "signature": "U0lH", "index": 0}]},
    {"reasoning_details": [{"type": "reasoning.encrypted", "data": PLACE, "index": 1}]},
    {"reasoning_details": [DETAIL, {**DETAIL, "index": 1}]},
    {"reasoning_details": [{**DETAIL, "summary": "x"}]},
    {"reasoning": PLACE, "reasoning_details": [{**DETAIL, "text": "another"}]},
]
frames = st.dictionaries(st.sampled_from([*HEAD, "usage", "error", "object", "x"]), scalars, max_size=5)
choices = st.dictionaries(st.sampled_from(["index", "finish_reason", "logprobs", "x"]), scalars, max_size=4)
words = texts | st.sampled_from(
    ["assistant", "a/served", "reasoning.text", "unknown", "P", ",", ":", PLACE, '\n\\"/\x7f']
)
RAW = [
    b"",
    b'a","x":"b',
    b'a"',
    b'","content":"b',
    b"\\",
    b"\\u0041",
    b"\\ud83d",
    b"\xff",
    b"\t",
    b"\xc3",
    b"\\/",
    b'":"',
]
"""What may stand between the quotes of a text, most of it no JSON."""


@st.composite
def written(draw: DrawFn) -> list[bytes]:
    """Give some events in a row that are written alike, each with a text of its own."""
    usual = draw(st.integers(0, 3)) > 0
    delta = draw(st.sampled_from(DELTAS) if usual else st.sampled_from(ODD_DELTAS) | altered(st.sampled_from(DELTAS)))
    plain = draw(st.integers(0, 3)) > 0
    event = {**(HEAD if plain else draw(frames)), "choices": [{**({} if plain else draw(choices)), "delta": delta}]}
    if draw(st.booleans()):
        event = dict(reversed(event.items()))
    body = json.dumps(event, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])))
    if draw(st.integers(0, 9)) == 0:
        body = body.replace('"delta"', '"delta": {"content": "twice"}, "delta"')
    around = body.encode().split(json.dumps(PLACE)[1:-1].encode())
    insides: list[bytes] = []
    for text in draw(st.lists(words, min_size=1, max_size=6)):
        with contextlib.suppress(UnicodeEncodeError):
            insides.append(json.dumps(text, ensure_ascii=draw(st.booleans()))[1:-1].encode())
    if draw(st.integers(0, 4)) == 0:
        insides.insert(draw(st.integers(0, len(insides))), draw(st.sampled_from(RAW)))
    return [b"data: " + inside.join(around) + b"\n\n" for inside in insides]


streams = st.lists(written() | st.just([b": KILO PROCESSING\n\n"]), min_size=1, max_size=5).map(
    lambda runs: b"".join(event for run in runs for event in run)
)


def _as_json(deltas: list[Delta]) -> list[str]:
    return [json.dumps(dataclasses.asdict(delta)) for delta in deltas]


def _one_by_one(body: bytes) -> tuple[list[Delta], StreamReader, bool]:
    """Parse and read each event as a whole; say whether one is an error or no JSON."""
    reader, deltas = StreamReader(), list[Delta]()
    try:
        for chunk in objects(EventDecoder(), [body]):
            if error_in(chunk) is not None:
                return deltas, reader, True
            delta = reader.read(chunk)
            if delta is not None:
                deltas.append(delta)
    except NotJSONError:
        return deltas, reader, True
    return deltas, reader, False


@holds(300, body=streams, cuts=cuts)
def test_a_repeated_event_says_what_it_says_alone(body: bytes, cuts: Sequence[int]) -> None:
    alone, reader, failed = _one_by_one(body)
    decoder = AnswerDecoder(opened(), "a/asked")
    deltas: list[Delta] = []
    try:
        for piece in split(body, cuts):
            deltas.extend(decoder.feed(piece))
    except KiloCodeError as exc:
        assert failed
        assert exc.text == "".join(delta.text for delta in deltas)
    else:
        assert not failed
    assert _as_json(deltas) == _as_json(alone)
    assert decoder.reader.usage is reader.usage is None or json.dumps(decoder.reader.usage) == json.dumps(reader.usage)
    answers = decoder.reader.completion("a/asked"), reader.completion("a/asked")
    assert repr(answers[0]) == repr(answers[1])
    assert json.dumps(answers[0].raw) == json.dumps(answers[1].raw)


def _containers(value: Any) -> list[Any]:
    """List every object and every list in a value."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for item in inner for found in _containers(item))]


@holds(300, run=written())
def test_what_each_event_came_as_is_its_own(run: list[bytes]) -> None:
    decoder = AnswerDecoder(opened(), "a/asked")
    deltas: list[Delta] = []
    with contextlib.suppress(KiloCodeError):
        deltas.extend(decoder.feed(b"".join(run)))
    found = [id(holder) for delta in deltas for holder in _containers(delta.raw)]
    assert len(found) == len(set(found))


@holds(
    event=altered(st.sampled_from(DELTAS).map(lambda delta: {**HEAD, "choices": [{"index": 0, "delta": delta}]})),
    text=words,
    other=words,
    places=st.integers(1, 3),
    data=st.data(),
)
def test_a_template_gives_what_the_event_says(event: Any, text: str, other: str, places: int, data: Any) -> None:
    if not isinstance(event, dict):
        return
    body = json.dumps(event).encode()
    first, second = (body.replace(json.dumps(PLACE).encode(), json.dumps(one).encode()) for one in (text, other))
    template = template_of(first, json.loads(first), text, places)
    if template is None:
        return
    assert template.text_in(first) == text
    for found in (second, data.draw(damaged(second))):
        told = template.text_in(found)
        if told is not None:
            assert json.dumps(json.loads(found.decode())) == json.dumps(template.chunk(told))
