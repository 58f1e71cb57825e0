"""Streams: the same answer however its bytes are split and laid out, and no silence over bytes that were damaged."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import strategies as st

from kilocode_gateway.answers import OpenAnswer, Watch
from kilocode_gateway.error_texts import Context
from kilocode_gateway.errors import KiloCodeError, StreamInterruptedError
from kilocode_gateway.policy import Deadline
from kilocode_gateway.sse import EventDecoder, NotJSONError
from kilocode_gateway.streams import AnswerDecoder, read_body
from tests.properties.holding import holds
from tests.properties.values import cuts, damaged, json_of, split, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import DrawFn

    from kilocode_gateway.wire import Completion

HEAD: dict[str, Any] = {"id": "gen-1", "model": "a/served", "created": 5}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.0123}
URL = "https://gateway.example/api/gateway/chat/completions"

events = st.lists(st.dictionaries(texts, json_of(leaves=4), max_size=3), max_size=5)
fillers = st.lists(
    st.sampled_from([": KILO PROCESSING", ":", "event: message", "id: 7", "retry: 10", "data", "garbage", "datax: 1"]),
    max_size=2,
)
ends = st.sampled_from(["\n", "\r\n", "\r"])


def opened() -> OpenAnswer:
    """Make an answer of which only the headers matter."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"})
    return OpenAnswer(response, iter(()), None, Context(url=URL, model="a/asked"), watch=Watch(response, Deadline()))


def read(pieces: list[bytes]) -> tuple[str, Completion | KiloCodeError]:
    """Read a stream as the transport does; give the text that was handed on, and what it came to."""
    decoder = AnswerDecoder(opened(), "a/asked")
    handed: list[str] = []
    try:
        for piece in pieces:
            if decoder.said_done:
                break
            handed.extend(delta.text for delta in decoder.feed(piece))
        handed.extend(delta.text for delta in decoder.end())
    except KiloCodeError as exc:
        decoder.leave()
        return "".join(handed), exc
    assert decoder.answer is not None
    return "".join(handed), decoder.answer


def objects(decoder: EventDecoder, pieces: list[bytes]) -> Iterator[dict[str, Any]]:
    """Give the objects of a stream's events."""
    read_back = (decoder.read(event) for piece in pieces for event in decoder.feed(piece))
    yield from (found for found in read_back if found is not None)
    last = decoder.close()
    if last is not None:
        yield last


@st.composite
def layouts(draw: DrawFn, datas: list[str]) -> bytes:
    """Lay the data of events out as a stream, with comments, other fields and any mix of line ends."""
    lines: list[str] = []
    for data in datas:
        for _ in range(draw(st.integers(0, 2))):
            lines += [*draw(fillers), ""]
        lines += [*draw(fillers), draw(st.sampled_from(["data: ", "data:"])) + data, *draw(fillers), ""]
    written = ""
    for line in lines:
        end = draw(ends)
        # A line end of CR and then a blank line's LF would be one CRLF.
        written += line + ("\r\n" if not line and end == "\n" and written.endswith("\r") else end)
    if written.endswith("\r"):
        # The bytes end here, and nobody can know whether an LF was to follow: it makes no difference.
        written += draw(st.sampled_from(["", "\n"]))
    return written.encode()


@holds(200, found=events, data=st.data(), cuts=cuts, escaped=st.booleans())
def test_events_are_the_same_in_any_layout(found: list[Any], data: Any, cuts: Sequence[int], escaped: bool) -> None:
    datas = [json.dumps(event, ensure_ascii=escaped) for event in found]
    if not escaped and any("\ud800" <= char <= "\udfff" for text in datas for char in text):
        datas = [json.dumps(event) for event in found]
    body = data.draw(layouts([*datas, "[DONE]"]))
    decoder = EventDecoder()
    read_back = list(objects(decoder, split(body, cuts)))
    assert json.dumps(read_back) == json.dumps(found)
    assert decoder.done


@holds(
    pieces=st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b"{}", b"\r", b"[DONE]"]), max_size=9)
)
def test_any_bytes_end_in_an_answer_or_in_one_error(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    decoders = EventDecoder(), EventDecoder()
    results = []
    for decoder, parts in zip(decoders, ([whole], pieces), strict=True):
        found: list[Any] = []
        with contextlib.suppress(NotJSONError):
            found.extend(objects(decoder, parts))
        results.append(json.dumps(found))
    assert results[0] == results[1], "where the bytes are split makes no difference"
    _, outcome = read(pieces)
    if isinstance(outcome, KiloCodeError):
        assert str(outcome)
    with contextlib.suppress(KiloCodeError):
        read_body(whole, opened(), "a/asked")


@st.composite
def streams(draw: DrawFn) -> tuple[bytes, int, int, str]:
    """Give a stream, where its finish reason begins and ends, and its text."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["content", "content", "reasoning", "arguments"]))
        piece = draw(texts)
        if name == "arguments":
            call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": piece}}
            deltas.append({"tool_calls": [call]})
        else:
            deltas.append({name: piece})
    body = draw(st.sampled_from([b"", b": KILO PROCESSING\n\n", b"\n\n"]))
    for delta in deltas:
        body += _event({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    start = len(body)
    body += _event({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    end = len(body) - 2
    if draw(st.booleans()):
        body += _event({**HEAD, "choices": [], "usage": USAGE})
    if draw(st.booleans()):
        body += b"data: [DONE]\n\n"
    return body, start, end, "".join(delta.get("content", "") for delta in deltas)


def _event(payload: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


@holds(stream=streams(), cuts=cuts)
def test_a_whole_stream_is_a_whole_answer(stream: tuple[bytes, int, int, str], cuts: Sequence[int]) -> None:
    body, _, _, text = stream
    handed, outcome = read(split(body, cuts))
    assert not isinstance(outcome, KiloCodeError)
    assert (handed, outcome.text, outcome.finish_reason) == (text, text, "stop")
    assert read_body(body, opened(), "a/asked")[0].text == text


@holds(stream=streams(), place=st.integers(0, 10_000), cuts=cuts)
def test_a_stream_that_was_cut_is_never_a_whole_answer(
    stream: tuple[bytes, int, int, str], place: int, cuts: Sequence[int]
) -> None:
    body, _, end, text = stream
    place %= len(body)
    handed, outcome = read(split(body[:place], cuts))
    assert text.startswith(handed)
    if place < end:
        assert isinstance(outcome, KiloCodeError)
        assert outcome.text == handed
    else:
        assert not isinstance(outcome, KiloCodeError)
        assert outcome.text == handed == text


@holds(500, stream=streams(), data=st.data(), cuts=cuts)
def test_damage_behind_the_text_leaves_the_text(
    stream: tuple[bytes, int, int, str], data: Any, cuts: Sequence[int]
) -> None:
    body, start, _, text = stream
    handed, outcome = read(split(data.draw(damaged(body, start)), cuts))
    assert text.startswith(handed)
    assert outcome.text == handed
    if not isinstance(outcome, KiloCodeError):
        assert handed == text


@holds(500, stream=streams(), data=st.data(), cuts=cuts)
def test_any_damage_ends_in_an_answer_or_in_one_error(
    stream: tuple[bytes, int, int, str], data: Any, cuts: Sequence[int]
) -> None:
    body = stream[0]
    for _ in range(data.draw(st.integers(1, 3))):
        body = data.draw(damaged(body))
    handed, outcome = read(split(body, cuts))
    assert outcome.text == handed
    again = read([body])
    assert type(again[1]) is type(outcome), "where the bytes are split makes no difference"
    assert again[0] == handed
    with contextlib.suppress(KiloCodeError):
        read_body(body, opened(), "a/asked")


def test_the_name_of_a_field_may_come_in_pieces() -> None:
    for whole in (b"data", b"\xef\xbb\xbfdata", b"event: x"):
        outcomes = [read(pieces)[1] for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))])]
        assert type(outcomes[0]) is type(outcomes[1]) is StreamInterruptedError


@holds(
    200, found=st.lists(st.dictionaries(st.sampled_from([*HEAD, "choices", "usage", "error"]), json_of(), max_size=4))
)
def test_any_objects_end_in_an_answer_or_in_one_error(found: list[Any]) -> None:
    handed, outcome = read([_event(payload) for payload in found])
    assert outcome.text == handed


REPLY = {**HEAD, "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": USAGE}


@holds(text=texts, place=st.integers(0, 10_000), blanks=st.sampled_from([b"", b" \n", b"\xef\xbb\xbf"]), cuts=cuts)
def test_an_answer_at_once_that_was_cut_is_an_error(text: str, place: int, blanks: bytes, cuts: Sequence[int]) -> None:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    whole = blanks + json.dumps({**HEAD, "choices": [choice]}).encode()
    assert read(split(whole, cuts))[1].text == read_body(whole, opened(), "a/asked")[0].text == text
    body = whole[: place % len(whole)]
    assert isinstance(read(split(body, cuts))[1], KiloCodeError)
    with contextlib.suppress(KiloCodeError):
        raise AssertionError(read_body(body, opened(), "a/asked"))


@holds(data=st.data(), cuts=cuts)
def test_a_damaged_answer_at_once_is_an_answer_or_an_error(data: Any, cuts: Sequence[int]) -> None:
    body = data.draw(damaged(json.dumps(REPLY).encode()))
    read(split(body, cuts))
    with contextlib.suppress(KiloCodeError):
        read_body(body, opened(), "a/asked")
