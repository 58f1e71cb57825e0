"""Time limits of a whole call: they hold although bytes keep arriving, and whatever the call is waiting for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from kilocode_gateway import answers
from kilocode_gateway import errors as core
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.error_texts import Context
from kilocode_gateway.local import Reply
from kilocode_gateway.policy import Deadline
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, eventually, stream, time_limits, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

LIMIT = 0.25
SOON = 30.0
"""Seconds in which a call with that limit must have ended, on the slowest machine; without the limit it takes 60."""
COMMENT = len(": KILO PROCESSING\n\n")

TOTAL: dict[str, dict[str, Any]] = {
    "silence before the answer": {"delay": 60.0},
    "silence after the headers": {"stall_after": 0, "stall": 60.0},
    "silence in the middle": {"stall_after": 900, "stall": 60.0},
    "a body whose end is told by closing": {"stall_after": 900, "stall": 60.0, "transfer": "close"},
    "one byte at a time": {"split": 1, "chunk_delay": 0.01, "stall_after": 900, "stall": 60.0},
}
LONG = "word " * 3000
COMMENTS = [": KILO PROCESSING\n\n"] * 3000
HEAD = {"id": "gen-1", "model": "a/b"}
ROLE = {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
WORD = {**HEAD, "choices": [{"index": 0, "delta": {"content": "word "}}]}
STREAMS: dict[str, Reply] = {
    "keep-alive comments for ever": Reply.chunks(COMMENTS, chunk_delay=0.02),
    "keep-alive comments after some text": Reply.chunks([WORD, *COMMENTS], chunk_delay=0.02),
    "tokens for ever": Reply.text(LONG, chunk_delay=0.03),
}


async def _times_out(
    ask: Ask, gateway: LocalGateway, limit: str, *, seconds: float = LIMIT, **settings: Any
) -> core.TimeoutExceededError:
    begin = time.monotonic()
    with pytest.raises(core.TimeoutExceededError) as caught:
        await ask(transport_to(gateway, timeout=90.0, **settings), {**BODY, limit: seconds})
    assert seconds * 0.9 < time.monotonic() - begin < SOON
    error = caught.value
    assert f"within {seconds:g} seconds" in str(error)
    assert limit in str(error)
    assert error.details["limit"] == limit
    assert error.__cause__ is None
    assert pickle.loads(pickle.dumps(error)).details == error.details
    return error


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def clients(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Give clients of either library."""
    sync, asynchronous = request.param.Client(timeout=None), request.param.AsyncClient(timeout=None)
    yield {"http_client": sync, "http_async_client": asynchronous}
    sync.close()


@pytest.mark.parametrize("name", TOTAL)
async def test_total_limit(gateway: LocalGateway, ask: Ask, clients: dict[str, Any], name: str) -> None:
    gateway.script(*[Reply.text(LONG, **TOTAL[name])] * 9)
    for seconds in time_limits():
        error = await _times_out(ask, gateway, "total_timeout", seconds=seconds, **clients)
        assert LONG.startswith(error.text)
        if gateway.requests:
            break
    assert eventually(lambda: bool(gateway.disconnects)), "the connection is closed at once"


async def test_silence_that_begins_late(gateway: LocalGateway, ask_streamed: Ask) -> None:
    """The step's own limit was counted from the body's beginning: only the clock of the call ends this in time."""
    words = [WORD] * 14
    gateway.script(Reply.chunks([*words, WORD], chunk_delay=0.05, stall_after=sum(map(_size, words)), stall=60.0))
    begin = time.monotonic()
    with pytest.raises(core.TimeoutExceededError, match="total_timeout"):
        await ask_streamed(transport_to(gateway, timeout=90.0), {**BODY, "total_timeout": 1.0})
    assert time.monotonic() - begin < SOON


def _size(chunk: dict[str, Any]) -> int:
    return len(f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n")


@pytest.mark.parametrize("name", STREAMS)
async def test_total_limit_of_a_stream(gateway: LocalGateway, ask_streamed: Ask, name: str) -> None:
    gateway.script(*[STREAMS[name]] * 9)
    for seconds in time_limits():
        error = await _times_out(ask_streamed, gateway, "total_timeout", seconds=seconds)
        assert LONG.startswith(error.text)
        if error.text or (name == "keep-alive comments for ever" and gateway.requests):
            break
    assert eventually(lambda: bool(gateway.disconnects))


LATE: dict[str, Reply] = {
    "silence": Reply.text(LONG, delay=60.0),
    "silence after the headers": Reply.text(LONG, stall_after=0, stall=60.0),
    "silence after a comment": Reply.text(LONG, stall_after=COMMENT, stall=60.0),
    "comments for ever": STREAMS["keep-alive comments for ever"],
    "a role, then comments": Reply.chunks([ROLE, *COMMENTS], chunk_delay=0.02),
    "empty deltas": Reply.chunks([ROLE] * 3000, chunk_delay=0.02),
}


@pytest.mark.parametrize("name", LATE)
async def test_first_token_limit(gateway: LocalGateway, ask_streamed: Ask, name: str) -> None:
    gateway.script(*[LATE[name]] * 9)
    for seconds in time_limits():
        error = await _times_out(ask_streamed, gateway, "first_token_timeout", seconds=seconds)
        assert error.text == ""
        if gateway.requests:
            break
    assert eventually(lambda: bool(gateway.disconnects))


FIRST = {
    "text": {"content": "word "},
    "reasoning": {"reasoning": "word "},
    "a tool call": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}]},
}


@pytest.mark.parametrize("name", FIRST)
async def test_after_the_first_token_its_limit_counts_no_more(
    make_gateway: Callable[..., LocalGateway], ask_streamed: Ask, name: str
) -> None:
    first = {**HEAD, "choices": [{"index": 0, "delta": FIRST[name]}]}
    last = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    for seconds in time_limits():
        gateway = make_gateway()
        gateway.script(Reply.chunks([first, last], comments=0, stall_after=_size(first), stall=seconds + 0.2))
        begin = time.monotonic()
        try:
            answer = await ask_streamed(transport_to(gateway), {**BODY, "first_token_timeout": seconds})
        except core.TimeoutExceededError:
            continue
        assert answer.finish_reason
        assert time.monotonic() - begin > seconds
        break


async def test_total_limit_counts_on_after_the_first_token(gateway: LocalGateway, ask_streamed: Ask) -> None:
    gateway.script(*[Reply.text(LONG, chunk_delay=0.03)] * 9)
    for seconds in time_limits():
        limits = {"first_token_timeout": seconds * 0.9, "total_timeout": seconds}
        with pytest.raises(core.TimeoutExceededError) as caught:
            await ask_streamed(transport_to(gateway), {**BODY, **limits})
        if caught.value.text:
            break
    assert caught.value.details["limit"] == "total_timeout"


async def test_first_token_limit_is_not_for_answers_that_come_whole(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Hello", delay=0.3), Reply.text("Hello", delay=0.3))
    body = {**BODY, "first_token_timeout": 0.1}
    assert transport_to(gateway).complete(body).text == "Hello"
    assert (await transport_to(gateway).acomplete(body)).text == "Hello"


async def test_waits_between_attempts_count(gateway: LocalGateway, ask: Ask) -> None:
    """There is no time left for the wait that the gateway asks for, so its own answer is told at once."""
    gateway.script(*[Reply.raw(503, {"error": "busy"}, {"retry-after": "59"})] * 3)
    begin = time.monotonic()
    with pytest.raises(core.UpstreamError):
        await ask(transport_to(gateway, max_retries=2), {**BODY, "total_timeout": 50.0})
    assert time.monotonic() - begin < SOON
    assert len(gateway.requests) == 1


async def test_attempts_share_the_time(make_gateway: Callable[..., LocalGateway], ask: Ask) -> None:
    slow = Reply.raw(503, {"error": "busy"}, {"retry-after-ms": "1"}, delay=0.02)
    for seconds in time_limits():
        gateway = make_gateway()
        gateway.script(slow, slow, Reply.text(LONG, delay=60.0))
        with contextlib.suppress(core.UpstreamError):  # no time was left to ask again
            await _times_out(ask, gateway, "total_timeout", seconds=seconds, max_retries=5)
        if len(gateway.requests) == 3:
            break


async def test_slow_body_of_a_refusal(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(400, {"error": "no" * 3000}, stall_after=20, stall=60.0))
    begin = time.monotonic()
    with pytest.raises(core.KiloCodeError):
        await ask(transport_to(gateway, timeout=90.0), {**BODY, "total_timeout": LIMIT})
    assert time.monotonic() - begin < SOON


async def test_within_the_limits_nothing_changes(gateway: LocalGateway, ask: Ask) -> None:
    body = {**BODY, "first_token_timeout": 20, "total_timeout": 30.5}
    assert (await ask(transport_to(gateway), body)).text == (await ask(transport_to(gateway), BODY)).text
    assert all(not {"first_token_timeout", "total_timeout"} & set(request.json) for request in gateway.requests)
    assert eventually(lambda: not _watchers()), "nobody watches the clock any more"


def _watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "clock" in thread.name]


async def test_connection_is_given_back_within_the_limits(gateway: LocalGateway, ask: Ask) -> None:
    transport = transport_to(gateway)
    for _ in range(3):
        await ask(transport, {**BODY, "total_timeout": 20})
    assert gateway.disconnects == []


WHOLE = {
    "id": "gen-1",
    "model": "a/b",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi"}}],
}
UNENDED = 'data: {"id": "gen-1", "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": "Hi"}}]}'


@pytest.mark.parametrize(
    "reply",
    [Reply.raw(200, WHOLE), Reply.raw(200, UNENDED, {"content-type": "text/event-stream"})],
    ids=["an object", "an event without its end"],
)
def test_time_that_ends_after_the_answer_hurts_no_other_request(
    make_gateway: Callable[..., LocalGateway], reply: Reply
) -> None:
    """The reader takes its time over an answer that is all here; its connection serves another request meanwhile."""
    for seconds in time_limits():
        gateway = make_gateway()
        transport = transport_to(gateway)
        transport.complete(BODY)
        gateway.script(reply, Reply.text("another", delay=3 * seconds))
        try:
            pieces = transport.stream({**BODY, "total_timeout": seconds})
        except core.TimeoutExceededError:
            continue
        assert next(pieces).text == "Hi"
        assert transport.complete(BODY).text == "another"
        assert gateway.connections == 1, "both went over one connection"
        assert [piece.finish_reason for piece in pieces] == ["stop"]
        break


async def test_step_is_never_longer_than_what_is_left(ask: Ask) -> None:
    """A port that takes connections and never answers: the read would wait 60 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        transport = Transport(GatewayConfig.resolve(base_url=address, api_key="k"), timeout=60.0, max_retries=0)
        begin = time.monotonic()
        with pytest.raises(core.TimeoutExceededError, match="total_timeout"):
            await ask(transport, {**BODY, "total_timeout": LIMIT})
        assert time.monotonic() - begin < SOON


async def test_clock_is_looked_at_between_reads_where_no_thread_can_be_had(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = transport_to(gateway)
    transport.complete(BODY)  # the gateway's own threads have begun

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gateway.script(STREAMS["keep-alive comments for ever"])
    monkeypatch.setattr(answers.threading.Thread, "start", refuse)
    with pytest.raises(core.TimeoutExceededError, match="total_timeout"):
        await stream(transport, {**BODY, "total_timeout": LIMIT})


def test_first_token_that_comes_with_the_end_of_its_time() -> None:
    """The connection is shut down already when the token is read: the limit is named, not the broken connection."""

    def body() -> Iterator[bytes]:
        time.sleep(0.05)
        deadline.first_token_came()
        raise httpx.ReadError("shut down")
        yield b""

    response = SimpleNamespace(status_code=200, headers={}, extensions={}, is_closed=False, close=lambda: None)
    deadline = Deadline(first_token=0.01)
    watch = answers.Watch(response, deadline)
    opened = answers.OpenAnswer(response, body(), b": ", Context("http://x/", deadline=deadline), watch=watch)
    with pytest.raises(core.TimeoutExceededError, match="first_token_timeout"):
        opened.read()


async def test_outer_cancellation_stays_one(gateway: LocalGateway) -> None:
    gateway.script(Reply.text(LONG, chunk_delay=0.03))
    transport, reached = transport_to(gateway), asyncio.Event()

    async def read() -> None:
        async with await transport.astream({**BODY, "total_timeout": 30.0}) as pieces:
            async for _ in pieces:
                reached.set()

    task = asyncio.create_task(read())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert eventually(lambda: bool(gateway.disconnects))


@pytest.mark.parametrize("limit", ["first_token_timeout", "total_timeout"])
@pytest.mark.parametrize("wrong", [0, -1, "5", True, float("nan"), [1]])
async def test_limit_that_is_no_time_is_refused(gateway: LocalGateway, ask: Ask, limit: str, wrong: Any) -> None:
    with pytest.raises(core.ConfigurationError, match=f"{limit} must be a positive number of seconds"):
        await ask(transport_to(gateway), {**BODY, limit: wrong})
    assert gateway.requests == []


async def test_absurdly_long_limit_is_none(gateway: LocalGateway, ask: Ask) -> None:
    assert (await ask(transport_to(gateway), {**BODY, "total_timeout": 1e300})).text


def test_deadline_names_the_limit_that_ran_out() -> None:
    assert not Deadline().is_set
    assert Deadline().left() is None
    assert Deadline(first_token=1, total=2).exceeded() == ("first_token_timeout", 1)
    assert Deadline(first_token=3, total=2).exceeded() == ("total_timeout", 2)
    both = Deadline(first_token=0.001, total=0.002)
    time.sleep(0.01)
    assert both.is_over
    both.first_token_came()
    assert both.exceeded() == ("total_timeout", 0.002)
    only = Deadline(first_token=0.001)
    time.sleep(0.01)
    assert only.is_over
    only.first_token_came()
    assert not only.is_over
    assert only.exceeded() == ("first_token_timeout", 0.001)


def test_fetch_of_the_model_list_keeps_to_its_time(gateway: LocalGateway) -> None:
    from kilocode_gateway.http import get

    gateway.script(Reply.raw(200, b" " * 4000, split=1, chunk_delay=0.0, stall_after=100, stall=60.0), path="models")
    begin = time.monotonic()
    with pytest.raises(core.TimeoutExceededError, match=r"within 0\.25 seconds.*Raise `timeout`"):
        get(GatewayConfig.resolve(base_url=gateway.base_url), "models", timeout=LIMIT)
    assert time.monotonic() - begin < SOON
