"""Faults on the line: the answer arrives whole and equal, or a typed error says what happened and keeps what came."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import answers, streams
from kilocode_gateway import errors as core
from kilocode_gateway.local import Reply
from tests.core.helpers import BODY, MODEL, STREAMED, WAYS, time_limits, transport_to
from tests.faults import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from kilocode_gateway.transport import Transport
    from kilocode_gateway.wire import Completion
    from tests.core.conftest import Ask

TEXT = "Grüße 你好 \U0001f600, one two three four five."
REASONING = "First this, then that."
CALL = {"name": "weather", "id": "call_1", "arguments": '{"city": "Zürich", "unit": "\\u00b0C"}'}


def rich(**faults: Any) -> Reply:
    """Answer with everything that an answer can have."""
    return Reply.text(TEXT, reasoning=REASONING, tool_calls=[CALL], **faults)


def _is_whole(answer: Completion) -> None:
    assert (answer.text, answer.reasoning) == (TEXT, REASONING)
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("call_1", "weather", CALL["arguments"])
    ]
    assert answer.finish_reason == "tool_calls"
    assert answer.model == MODEL
    assert answer.provider == "LocalProvider"


async def _ends_well(ask: Ask, gateway: LocalGateway, **settings: Any) -> str:
    """Ask once: the whole answer, or a typed error with a beginning of the text; never anything else."""
    before = len(gateway.requests)
    outcome = await _outcome(ask, transport_to(gateway, **settings))
    assert len(gateway.requests) == before + 1
    if not isinstance(outcome, core.KiloCodeError):
        _is_whole(outcome)
        return "whole"
    assert TEXT.startswith(outcome.text)
    assert outcome.url == f"{gateway.base_url}chat/completions"
    assert outcome.__cause__ is None
    return type(outcome).__name__


async def _outcome(ask: Ask, transport: Transport) -> Completion | core.KiloCodeError:
    try:
        return await ask(transport, BODY)
    except core.KiloCodeError as error:
        return error


HARMLESS: dict[str, dict[str, Any]] = {
    **faults.HARMLESS,
    "a length": {"transfer": "length"},
    "closing after it": {"close": True},
    "slowly": {"chunk_delay": 0.001},
}
IN_STREAMS: dict[str, dict[str, Any]] = {
    **faults.HARMLESS_IN_STREAMS,
    "empty comments between": {"garbage": b":\n\n" * 3},
    "100,000 empty comments first": {"prefix": b":\n\n" * 100_000},
    "empty data between": {"garbage": b"data:\n\n"},
    "garbage first": {"prefix": b"upstream: ready\n\n"},
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_does_no_harm(gateway: LocalGateway, ask: Ask, name: str) -> None:
    gateway.script(rich(**HARMLESS[name]))
    assert await _ends_well(ask, gateway) == "whole"


async def test_a_mark_before_an_answer_at_once_may_come_in_pieces(gateway: LocalGateway, ask: Ask) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    gateway.script(Reply.raw(200, {"choices": [choice]}, prefix=b" \n\xef\xbb\xbf", split=1, chunk_delay=0.002))
    assert (await ask(transport_to(gateway), BODY)).text == "Hi."


@pytest.mark.parametrize("split", [1, 100])
@pytest.mark.parametrize(
    ("body", "kind"), [("data: ", core.StreamInterruptedError), ("down", core.MalformedReplyError)]
)
async def test_what_a_stream_is_that_was_cut_is_told_by_more_than_its_first_byte(
    gateway: LocalGateway, ask_streamed: Ask, body: str, kind: type[core.KiloCodeError], split: int
) -> None:
    gateway.script(Reply.raw(200, body, split=split, chunk_delay=0.002))
    with pytest.raises(kind):
        await ask_streamed(transport_to(gateway), BODY)


@pytest.mark.parametrize("name", IN_STREAMS)
async def test_what_does_no_harm_in_a_stream(gateway: LocalGateway, ask_streamed: Ask, name: str) -> None:
    gateway.script(rich(**IN_STREAMS[name]))
    assert await _ends_well(ask_streamed, gateway) == "whole"


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "end_after", "half_close_after"])
@pytest.mark.parametrize("way", ["complete", "astream", "stream"])
async def test_the_line_ends_after_any_number_of_bytes(gateway: LocalGateway, fault: str, way: str) -> None:
    ask = WAYS[way]
    size = await _size_of(gateway, stream=way in STREAMED)
    done = b"data: [DONE]\n\n" if way in STREAMED else b""
    outcomes = {}
    for count in [*range(0, size - 60, 97), *range(size - 60, size + 1, 3), size]:
        gateway.script(rich(close=True, **{fault: count}))
        outcomes[count] = await _ends_well(ask, gateway)
    assert set(outcomes.values()) <= {"whole", "StreamInterruptedError", "ConnectionFailedError", "MalformedReplyError"}
    assert outcomes[size] == "whole" or fault in ("cut_after", "reset_after")
    # A stream whose finish reason has arrived is complete, whatever happens to the line.
    assert all(outcome == "whole" for count, outcome in outcomes.items() if size - len(done) <= count < size and done)


async def _size_of(gateway: LocalGateway, *, stream: bool) -> int:
    """Count the bytes of the body of `rich`."""
    import httpx

    gateway.script(rich())
    body = {**BODY, **({"stream": True} if stream else {})}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{gateway.base_url}chat/completions", json=body)
    gateway.clear()
    return len(answer.content)


@pytest.mark.parametrize("reply", [Reply.text("x", drop=True), Reply.text("x", delay=60.0)], ids=["hang up", "silence"])
@pytest.mark.parametrize("retries", [0, 2])
async def test_no_more_requests_than_allowed_before_an_answer_begins(
    make_gateway: Callable[..., LocalGateway], ask: Ask, reply: Reply, retries: int
) -> None:
    for seconds in time_limits():
        gateway = make_gateway()
        gateway.script(*[reply] * 5)
        with pytest.raises(core.ConnectionFailedError):
            await ask(transport_to(gateway, max_retries=retries, timeout=seconds), BODY)
        if len(gateway.requests) > retries:
            break
    assert len(gateway.requests) == retries + 1


AFTER_THE_FIRST_BYTE: dict[str, dict[str, Any]] = {
    "cut": {"cut_after": 1},
    "reset": {"reset_after": 1, "split": 1},
    "stalled": {"stall_after": 5, "stall": 60.0},
    "ended": {"end_after": 3},
    "a gzip that lies": {"gzip": "lie"},
}


@pytest.mark.parametrize("name", AFTER_THE_FIRST_BYTE)
async def test_nothing_is_sent_again_once_a_byte_has_arrived(
    make_gateway: Callable[..., LocalGateway], ask: Ask, name: str
) -> None:
    for seconds in time_limits():
        gateway = make_gateway()
        gateway.script(rich(**AFTER_THE_FIRST_BYTE[name]))
        try:
            await ask(transport_to(gateway, max_retries=2, timeout=seconds), BODY)
        except core.KiloCodeError as error:
            if error.details.get("step", "body") == "body":
                break
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("name", ["error_in_200", "bad_json_200", "html_200", "stream_error_first", "stream_error_mid"])
async def test_an_error_inside_a_200_is_not_asked_again(gateway: LocalGateway, ask: Ask, name: str) -> None:
    gateway.script(Reply.error(name))
    with pytest.raises(core.KiloCodeError):
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert len(gateway.requests) == 1


async def test_a_stall_ends_in_a_time_limit_with_the_text_so_far(gateway: LocalGateway, ask_streamed: Ask) -> None:
    gateway.script(*[Reply.text("one two three four", stall_after=900, stall=60.0, split="event")] * 9)
    for seconds in time_limits():
        with pytest.raises(core.TimeoutExceededError) as caught:
            await ask_streamed(transport_to(gateway, timeout=seconds), BODY)
        if caught.value.text:
            break
    assert "one two three four".startswith(caught.value.text)
    assert f"nothing came within {seconds:g} seconds" in str(caught.value)


async def test_a_stall_after_the_finish_reason_loses_nothing(
    gateway: LocalGateway, ask_streamed: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": "All."}, "finish_reason": "stop"}]}]
    size = len(f"data: {json.dumps(chunks[0], separators=(',', ':'))}\n\n")
    stalling = Reply.chunks(chunks, comments=0, done=False, stall_after=size, stall=60.0, transfer="close")
    gateway.script(*[stalling] * 9)
    for seconds in time_limits():
        try:
            answer = await ask_streamed(transport_to(gateway, timeout=seconds), BODY)
        except core.TimeoutExceededError:
            continue
        break
    assert (answer.text, answer.usage) == ("All.", None)
    assert "complete" in caplog.text


@pytest.mark.parametrize("keep_alive", [None, 0.02])
async def test_nothing_is_waited_for_after_done(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, keep_alive: float | None
) -> None:
    """The last piece comes with [DONE], however long the gateway then keeps the line open."""
    size = await _size_of(gateway, stream=True)
    monkeypatch.setattr(streams, "_LAST_BYTES_SECONDS", 0.1)
    gateway.script(*[rich(stall_after=size, stall=60.0, keep_alive=keep_alive)] * 2)
    transport = transport_to(gateway, timeout=90.0)
    begin = time.monotonic()
    with transport.stream(BODY) as pieces:
        assert next(delta for delta in pieces if delta.finish_reason).usage is not None
        assert pieces.completion is not None
    async with await transport.astream(BODY) as apieces:
        assert [delta.finish_reason async for delta in apieces][-1]
    assert time.monotonic() - begin < 30


def _chunk(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "g",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
        **more,
    }


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5}
COMPLETE: dict[str, tuple[list[Any], bool]] = {
    "usage after the finish, choices empty": (
        [_chunk("a"), _chunk("b", "stop"), {"choices": [], "usage": USAGE}],
        True,
    ),
    "usage after the finish, delta empty": ([_chunk("a"), _chunk("b", "stop"), _chunk("", None, usage=USAGE)], True),
    "usage with the finish": ([_chunk("a"), _chunk("b", "stop", usage=USAGE)], True),
    "usage in every piece": ([_chunk("a", usage={**USAGE, "cost": 9}), _chunk("b", "stop", usage=USAGE)], True),
    "usage null afterwards": ([_chunk("a"), _chunk("b", "stop", usage=USAGE), _chunk("", usage=None)], True),
    "no DONE": ([_chunk("a"), _chunk("b", "stop", usage=USAGE)], False),
    "two finish reasons": ([_chunk("a"), _chunk("b", "stop"), _chunk("", "length", usage=USAGE)], True),
    "text after the finish": ([_chunk("a", "stop"), _chunk("b", usage=USAGE)], True),
    "the finish alone": ([_chunk("ab"), _chunk("", "stop"), {"usage": USAGE}], True),
    "a last event without its blank line": (
        [_chunk("a"), _chunk("b", "stop"), f"data: {json.dumps({'usage': USAGE})}"],
        False,
    ),
    "role only, null only": (
        [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
            _chunk("ab", "stop", usage=USAGE),
        ],
        True,
    ),
}


@pytest.mark.parametrize("name", COMPLETE)
async def test_only_a_finish_reason_completes(gateway: LocalGateway, ask_streamed: Ask, name: str) -> None:
    chunks, done = COMPLETE[name]
    gateway.script(Reply.chunks(chunks, done=done))
    answer = await ask_streamed(transport_to(gateway), BODY)
    assert (answer.text, answer.finish_reason) == ("ab", "stop")
    assert answer.usage is not None
    assert str(answer.usage.cost) == "0.5"


ERROR = {"error": {"message": "Upstream broke", "code": 502}}
FAILED: dict[str, list[Any]] = {
    "first": [ERROR],
    "first, with empty choices": [{**ERROR, "choices": []}],
    "between": [_chunk("a"), ERROR, _chunk("b", "stop")],
    "between, with choices": [_chunk("a"), {**ERROR, **_chunk("", "error")}, _chunk("b", "stop")],
    "in the choice": [_chunk("a"), {"choices": [{"index": 0, "delta": {}, "error": ERROR["error"]}]}],
    "after the finish": [_chunk("a", "stop"), ERROR],
    "only a finish reason": [_chunk("a"), _chunk("", "error")],
}


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("name", FAILED)
async def test_an_error_in_a_stream_is_raised_with_the_text_so_far(
    gateway: LocalGateway, ask_streamed: Ask, name: str, done: bool
) -> None:
    gateway.script(Reply.chunks(FAILED[name], done=done))
    with pytest.raises(core.UpstreamError, match=r"Upstream broke|ended the answer with an error") as caught:
        await ask_streamed(transport_to(gateway), BODY)
    assert caught.value.text == ("" if name.startswith("first") else "a")
    assert caught.value.status == 502


async def test_the_pieces_before_an_error_were_given_out(gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks([_chunk("a"), _chunk("b"), ERROR]))
    pieces = transport_to(gateway).stream(BODY)
    assert [next(pieces).text, next(pieces).text] == ["a", "b"]
    with pytest.raises(core.UpstreamError):
        next(pieces)
    assert pieces.completion is None


@pytest.mark.parametrize("split", [None, 1])
async def test_one_object_where_a_stream_was_asked_for(gateway: LocalGateway, ask: Ask, split: int | None) -> None:
    message = {
        "role": "assistant",
        "content": TEXT,
        "reasoning": "Hm.",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
    }
    payload = {
        "id": "g",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }
    gateway.script(
        Reply.raw(200, b" \n\r\n  " + json.dumps(payload).encode(), {"content-type": "application/json"}, split=split)
    )
    answer = await ask(transport_to(gateway), BODY)
    assert (answer.text, answer.reasoning, answer.finish_reason) == (TEXT, "Hm.", "tool_calls")
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [("c", "f", "")]
    assert answer.usage is not None


async def test_a_stream_where_one_object_was_asked_for(gateway: LocalGateway, ask: Ask) -> None:
    body = ": hello\n\n" + "".join(
        f"data: {json.dumps(chunk)}\n\n" for chunk in [_chunk("a"), _chunk("b", "stop", usage=USAGE)]
    )
    gateway.script(Reply.raw(200, body, {"content-type": "application/json"}))
    answer = await ask(transport_to(gateway), BODY)
    assert (answer.text, answer.finish_reason) == ("ab", "stop")


async def test_a_cut_stream_where_one_object_was_asked_for(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(200, f"data: {json.dumps(_chunk('a'))}\n\n"))
    with pytest.raises(core.StreamInterruptedError) as caught:
        await ask(transport_to(gateway), BODY)
    assert caught.value.text == "a"


NOT_ANSWERS: dict[str, bytes] = {
    "HTML": b"<html><body>Sign in to the network</body></html>",
    "text": b"Bad gateway",
    "a list": b'[{"choices": []}]',
    "a string": b'"hello"',
    "a number": b"12",
    "null": b"null",
    "truncated JSON": b'{"id": "gen-1", "choices": [{"mess',
    "binary": bytes(range(256)),
    "deep": b'{"a":' * 50_000,
}


@pytest.mark.parametrize("name", NOT_ANSWERS)
async def test_what_is_no_answer_is_called_malformed(gateway: LocalGateway, ask: Ask, name: str) -> None:
    gateway.script(Reply.raw(200, NOT_ANSWERS[name]))
    with pytest.raises(core.MalformedReplyError, match="is not a JSON object") as caught:
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert len(gateway.requests) == 1
    assert len(str(caught.value)) < 1500


async def test_an_event_that_is_no_json(gateway: LocalGateway, ask_streamed: Ask) -> None:
    gateway.script(Reply.chunks([_chunk("a"), 'data: {"id": "x", "choi\n\n', _chunk("b", "stop")]))
    with pytest.raises(core.MalformedReplyError, match="is not JSON") as caught:
        await ask_streamed(transport_to(gateway), BODY)
    assert caught.value.text == "a"


async def test_an_event_of_10_megabytes(gateway: LocalGateway, ask_streamed: Ask) -> None:
    text = "x" * 10_000_000
    gateway.script(Reply.chunks([_chunk(text), _chunk("", "stop")]))
    assert (await ask_streamed(transport_to(gateway), BODY)).text == text


async def test_nobody_listens(ask: Ask, make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway()
    transport = transport_to(gateway)
    gateway.stop()
    with pytest.raises(core.ConnectionFailedError, match="cannot be reached") as caught:
        await ask(transport, BODY)
    assert caught.value.retryable


async def test_a_refusal_whose_body_breaks_off_stays_that_refusal(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(429, {"error": "Rate limit exceeded", "message": "x" * 500}, cut_after=40))
    with pytest.raises(core.RateLimitError, match="Rate limit exceeded"):
        await ask(transport_to(gateway), BODY)


async def test_a_refusal_without_end_is_cut_off(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(500, b"x" * 30_000_000))
    with pytest.raises(core.UpstreamError) as caught:
        await ask(transport_to(gateway), BODY)
    assert isinstance(caught.value.body, str)
    assert len(caught.value.body) <= 4000


@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
async def test_any_success_is_one(gateway: LocalGateway, ask: Ask, status: int) -> None:
    payload = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    gateway.script(Reply.raw(status, payload))
    assert (await ask(transport_to(gateway), BODY)).text == "Hi"


async def test_a_success_without_a_body(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(204, ""))
    with pytest.raises(core.KiloCodeError):
        await ask(transport_to(gateway), BODY)


@pytest.mark.parametrize("faults", [{}, {"split": "event"}])
async def test_an_answer_without_end_is_not_read_for_ever(
    gateway: LocalGateway, ask: Ask, monkeypatch: pytest.MonkeyPatch, faults: dict[str, Any]
) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 100_000)
    gateway.script(Reply.text("word " * 50_000, **faults))
    with pytest.raises(core.MalformedReplyError, match=r"larger than 100,000 bytes") as caught:
        await ask(transport_to(gateway, max_retries=2, timeout=90.0), BODY)
    assert ("word " * 50_000).startswith(caught.value.text)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("drop", [False, "reset"])
@pytest.mark.parametrize("count", [0, 1, 40])
async def test_the_line_ends_inside_the_head(gateway: LocalGateway, ask: Ask, drop: Any, count: int) -> None:
    gateway.script(*[rich(head_bytes=count, drop=drop)] * 5)
    with pytest.raises(core.ConnectionFailedError):
        await ask(transport_to(gateway, max_retries=1), BODY)
    assert len(gateway.requests) == 2


@pytest.mark.parametrize(("size", "said"), [(50, "50 bytes"), (9_000, r"[\d,]+ bytes and more")])
async def test_a_text_instead_of_a_stream_is_told_by_its_size(
    gateway: LocalGateway, ask_streamed: Ask, size: int, said: str
) -> None:
    gateway.script(Reply.raw(200, "x" * size, {"content-type": "text/plain"}))
    with pytest.raises(core.MalformedReplyError, match=rf"not a JSON object \(text/plain, {said}\)"):
        await ask_streamed(transport_to(gateway), BODY)
