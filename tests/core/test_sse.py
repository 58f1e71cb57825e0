"""The event decoder: whatever the bytes are and wherever they are split, the same events come out."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilocode_gateway.sse import EventDecoder, NotJSONError

EVENTS: list[dict[str, Any]] = [
    {"text": "plain"},
    {"text": "ü 你好 \U0001f600 \u2028\u2029\x85", "n": 1},
    {"text": "\r\n\r\n and \n\n inside"},
    {},
    {"last": True},
]


def _written(newline: str = "\n", *, extras: bool = True) -> bytes:
    parts = []
    for number, event in enumerate(EVENTS):
        if extras:
            parts.append([": KILO PROCESSING"])
            parts.append([f"id: {number}", "event: message", "retry: 10"])
        data = json.dumps(event, ensure_ascii=bool(number % 2))
        parts.append([f"data:{data}" if number % 2 else f"data: {data}"])
    parts.append(["data: [DONE]"])
    return "".join(newline.join([*lines, "", ""]) for lines in parts).encode()


def _read(*pieces: bytes) -> tuple[list[dict[str, Any]], bool]:
    decoder = EventDecoder()
    found = [event for piece in pieces for event in _fed(decoder, piece)]
    last = decoder.close()
    return found if last is None else [*found, last], decoder.done


def _fed(decoder: EventDecoder, data: bytes) -> list[dict[str, Any]]:
    return [found for event in decoder.feed(data) if (found := decoder.read(event)) is not None]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_any_line_end_in_pieces_of_any_size(newline: str, size: int) -> None:
    body = _written(newline)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert _read(*pieces) == (EVENTS, True)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_split_in_two_at_every_byte(newline: str) -> None:
    body = _written(newline, extras=False)
    for cut in range(len(body) + 1):
        assert _read(body[:cut], body[cut:]) == (EVENTS, True)


def test_events_come_as_soon_as_they_are_complete() -> None:
    decoder = EventDecoder()
    assert _fed(decoder, b'data: {"a": 1}\n') == []
    assert _fed(decoder, b"\n") == [{"a": 1}]
    assert _fed(decoder, b'data: {"a": 2}\r\n\r') == []
    assert _fed(decoder, b'\ndata: {"a": 3}\n\n') == [{"a": 2}, {"a": 3}]


def test_one_object_over_several_data_lines() -> None:
    assert _read(b'data: {"a":\ndata: 1,\n: between\ndata:"b": 2}\n\n')[0] == [{"a": 1, "b": 2}]


def test_a_byte_order_mark_is_no_data() -> None:
    assert _read(b'\xef\xbb\xbfdata: {"a": 1}\n\n')[0] == [{"a": 1}]


@pytest.mark.parametrize(
    "noise",
    [
        b"\n\n\n\n",
        b":\n\n" * 5,
        b": c\n: d\n\n",
        b"event: ping\n\n",
        b"data:\n\n",
        b"data\n\n",
        b"garbage\n\n",
        b"\x00\xff\xfe\n\n",
        b"foo: {}\n\n",
        b" data: {}\n\n",
    ],
)
def test_noise_between_events_is_skipped(noise: bytes) -> None:
    body = noise + b'data: {"a": 1}\n\n' + noise + b'data: {"a": 2}\n\n' + noise
    for cut in range(len(body)):
        assert _read(body[:cut], body[cut:])[0] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    "data",
    [b"{", b"[1]", b'"text"', b"12", b"null", b"{'a': 1}", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"done"],
    ids=lambda data: repr(data[:8]),
)
def test_data_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(NotJSONError):
        _read(b"data: " + data + b"\n\n")


@pytest.mark.parametrize(
    ("rest", "events"), [(b'data: {"a": 1}', [{"a": 1}]), (b'data: {"a": 1', []), (b"data: x", [])]
)
def test_a_last_event_may_lack_its_blank_line(rest: bytes, events: list[dict[str, Any]]) -> None:
    assert _read(b'data: {"b": 1}\n\n', rest)[0] == [{"b": 1}, *events]


def test_done_without_a_blank_line() -> None:
    assert _read(b"data: [DONE]") == ([], True)


def test_a_large_event_and_many_comments_are_no_burden() -> None:
    large = b'data: {"a": "' + b"x" * 10_000_000 + b'"}\n\n'
    pieces = [large[start : start + 65536] for start in range(0, len(large), 65536)]
    (event,) = _read(*pieces)[0]
    assert len(event["a"]) == 10_000_000
    assert _read(*[b":\n\n"] * 100_000, b'data: {"a": 1}\n\n')[0] == [{"a": 1}]


_texts = st.text() | st.sampled_from(["\n", "\r", "\r\n", "\n\n", "data: {}", "\u2028"])


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=3), _texts, max_size=3), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_any_objects_split_anywhere(events: list[dict[str, str]], newline: str, cuts: list[int]) -> None:
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}" for event in events)
    data = body.encode("utf-8", "surrogatepass") if _fits(body) else json.dumps({}).encode()
    marks = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(marks)]
    if _fits(body):
        assert _read(*pieces)[0] == events


def _fits(body: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in body)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"data: ", b"\n\n", b"{}", b"\r", b": x"]), max_size=12))
def test_any_bytes_at_all_end_in_events_or_in_one_error(pieces: list[bytes]) -> None:
    decoder = EventDecoder()
    try:
        found = [event for piece in pieces for event in _fed(decoder, piece)]
    except NotJSONError:
        return
    assert all(isinstance(event, dict) for event in found)
    assert isinstance(decoder.close(), dict | None)
