"""Connections: closed at once when nobody wants the answer any more, given back when it is read, never lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.local import Reply
from tests.core.helpers import BODY, KEY, SLOW, eventually, soon, time_limits, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from kilocode_gateway.local import LocalGateway


def slow(**faults: Any) -> Reply:
    """Answer for several seconds, piece by piece."""
    return Reply.text(SLOW, **{"chunk_delay": 0.02, **faults})


def _left(gateway: LocalGateway) -> bool:
    return bool(gateway.disconnects)


# Stopping early, sync


def test_close_closes(gateway: LocalGateway) -> None:
    gateway.script(slow())
    pieces = transport_to(gateway).stream(BODY)
    assert next(pieces).text
    pieces.close()
    assert eventually(lambda: _left(gateway))
    assert list(pieces) == []
    assert pieces.completion is None
    pieces.close()


def test_leaving_the_block_closes(gateway: LocalGateway) -> None:
    gateway.script(slow())
    with transport_to(gateway).stream(BODY) as pieces:
        next(pieces)
    assert eventually(lambda: _left(gateway))


def test_breaking_out_of_a_loop_closes_without_the_garbage_collector(gateway: LocalGateway) -> None:
    gateway.script(slow())
    gc.disable()
    try:
        for delta in transport_to(gateway).stream(BODY):
            assert delta.text
            break
        assert eventually(lambda: _left(gateway))
    finally:
        gc.enable()


def test_a_stream_that_is_never_read_closes_when_dropped(gateway: LocalGateway) -> None:
    gateway.script(slow())
    gc.disable()
    try:
        transport_to(gateway).stream(BODY)
        assert eventually(lambda: _left(gateway))
    finally:
        gc.enable()


def test_an_exception_of_the_reader_closes(gateway: LocalGateway) -> None:
    gateway.script(slow())
    pieces = transport_to(gateway).stream(BODY)
    with pytest.raises(ZeroDivisionError), pieces:
        raise ZeroDivisionError(next(pieces).text)
    assert eventually(lambda: _left(gateway))


def test_closing_from_another_thread_ends_a_stalled_read(gateway: LocalGateway) -> None:
    gateway.script(Reply.text(SLOW, stall_after=1000, stall=60.0))
    pieces = transport_to(gateway, timeout=60.0).stream(BODY)
    assert next(pieces).text
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            for _ in pieces:
                pass
        except core.KiloCodeError as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    # Between two pieces nobody reads: then the stream would end without an error.
    assert eventually(lambda: _stands(pieces))
    pieces.close()
    reader.join(30)
    assert not reader.is_alive()
    assert eventually(lambda: _left(gateway))
    (error,) = outcome
    assert isinstance(error, core.StreamInterruptedError)
    assert SLOW.startswith(error.text)
    assert error.text


def _stands(pieces: Any) -> bool:
    """Say whether all that came has been read, and another thread waits for more."""
    came = pieces._decoder.reader.text
    time.sleep(0.05)
    return pieces._pieces.gi_running and pieces._decoder.reader.text == came


# Stopping early, async


async def test_aclose_closes(gateway: LocalGateway) -> None:
    gateway.script(slow())
    pieces = await transport_to(gateway).astream(BODY)
    assert (await anext(pieces)).text
    await pieces.aclose()
    assert await soon(lambda: _left(gateway))
    assert [delta async for delta in pieces] == []
    await pieces.aclose()


async def test_breaking_out_of_an_async_loop_closes_without_the_garbage_collector(gateway: LocalGateway) -> None:
    gateway.script(slow())
    gc.disable()
    try:
        async for delta in await transport_to(gateway).astream(BODY):
            assert delta.text
            break
        assert await soon(lambda: _left(gateway))
    finally:
        gc.enable()


async def test_an_async_stream_that_is_never_read_closes_when_dropped(gateway: LocalGateway) -> None:
    gateway.script(slow())
    await transport_to(gateway).astream(BODY)
    assert await soon(lambda: _left(gateway))


CANCELLED: dict[str, Reply] = {
    "waiting for headers": Reply.text("x", delay=60.0),
    "waiting for the first byte": Reply.text("x", stall_after=0, stall=60.0),
    "in mid-stream": slow(),
    "in a stall": Reply.text(SLOW, stall_after=1000, stall=60.0),
}


@pytest.mark.parametrize("name", CANCELLED)
@pytest.mark.parametrize("way", ["acomplete", "astream"])
async def test_cancelling_closes_at_once(gateway: LocalGateway, way: str, name: str) -> None:
    gateway.script(CANCELLED[name])
    transport = transport_to(gateway, max_retries=2)

    async def ask() -> None:
        if way == "acomplete":
            await transport.acomplete(BODY)
            return
        async for _ in await transport.astream(BODY):
            pass

    if way == "acomplete" and name == "in mid-stream":
        gateway.clear()
        gateway.script(Reply.text(SLOW, split=20, stall_after=400, stall=60.0))
    task = asyncio.create_task(ask())
    await soon(lambda: bool(gateway.requests))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: _left(gateway))
    assert len(gateway.requests) == 1
    # The connection's place in the pool is free again: the next request goes through.
    assert (await transport.acomplete(BODY)).finish_reason == "stop"


async def test_cancelling_in_a_wait_between_attempts(gateway: LocalGateway) -> None:
    gateway.script(Reply.error("top_up_in_progress"))
    task = asyncio.create_task(transport_to(gateway, max_retries=2).acomplete(BODY))
    await soon(lambda: bool(gateway.requests))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("name", CANCELLED)
async def test_a_time_limit_of_asyncio_works(gateway: LocalGateway, name: str) -> None:
    gateway.script(*[CANCELLED[name]] * 9)
    for seconds in time_limits():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_read_within(transport_to(gateway), seconds), 50)
        if gateway.requests:
            break
    assert await soon(lambda: _left(gateway))


async def _read_within(transport: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        async for _ in await transport.astream(BODY):
            pass


async def test_closing_under_another_tasks_read(gateway: LocalGateway) -> None:
    gateway.script(Reply.text(SLOW, stall_after=1000, stall=60.0))
    pieces = await transport_to(gateway).astream(BODY)

    async def read() -> None:
        async for _ in pieces:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await pieces.aclose()
    with pytest.raises(core.StreamInterruptedError) as caught:
        await asyncio.wait_for(task, 30)
    assert SLOW.startswith(caught.value.text)
    assert await soon(lambda: _left(gateway))


# Connections are used again


def _ask_all_ways(transport: Any) -> None:
    assert transport.complete(BODY).finish_reason == "stop"
    assert [delta.finish_reason for delta in transport.stream(BODY)][-1] == "stop"
    with transport.stream(BODY) as pieces:
        for _ in pieces:
            pass
    transport.request("GET", "/api/profile")


def test_many_calls_in_a_row_keep_one_connection(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(api_keys=[KEY])
    transport = transport_to(gateway)
    for _ in range(500):
        _ask_all_ways(transport)
    assert (len(gateway.requests), gateway.connections) == (2000, 1)


async def test_many_async_calls_in_a_row_keep_one_connection(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    for _ in range(300):
        assert (await transport.acomplete(BODY)).finish_reason == "stop"
        assert [delta async for delta in await transport.astream(BODY)][-1].finish_reason == "stop"
    assert (len(gateway.requests), gateway.connections) == (600, 1)


@pytest.mark.parametrize(
    "name", ["empty_500", "html_502", "model_not_found", "error_in_200", "bad_json_200", "redirect_302"]
)
async def test_refusals_keep_the_connection(gateway: LocalGateway, name: str) -> None:
    transport = transport_to(gateway)
    for _ in range(20):
        gateway.script(Reply.error(name), Reply.error(name))
        with pytest.raises(core.KiloCodeError):
            transport.complete(BODY)
        with pytest.raises(core.KiloCodeError):
            transport.stream(BODY).__next__()
    assert gateway.connections == 1


LINE_FAULTS: dict[str, dict[str, Any]] = {
    "drop": {"drop": True},
    "reset": {"reset_after": 40},
    "cut": {"cut_after": 40},
    "end": {"end_after": 40},
    "stall": {"stall_after": 40, "stall": 60.0},
    "silence": {"delay": 60.0},
    "a gzip that lies": {"gzip": "lie"},
    "a page": {"prefix": b"<html>"},
}


def _faulty(request: Any) -> Reply | None:
    """Answer with the fault that the question names."""
    fault, _, split = request.json["messages"][-1]["content"].partition(" by ")
    return (
        Reply.text("x" * 100, split=int(split) if split else None, **LINE_FAULTS[fault])
        if fault in LINE_FAULTS
        else None
    )


def _asking_for(fault: str) -> dict[str, Any]:
    return {**BODY, "messages": [{"role": "user", "content": fault}]}


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("split", ["", " by 1"])
def test_no_place_in_a_small_pool_is_lost(
    make_gateway: Callable[..., LocalGateway], library: ModuleType, split: str
) -> None:
    gateway, limits = make_gateway(answer=_faulty), library.Limits(max_connections=1)
    with library.Client(limits=limits, trust_env=False) as client:
        transport = transport_to(gateway, http_client=client, timeout=0.25)
        for fault in LINE_FAULTS:
            asking = _asking_for(fault + split)
            with pytest.raises(core.KiloCodeError):
                transport.complete(asking)
            with pytest.raises(core.KiloCodeError):
                list(transport.stream(asking))
            # A stale connection may be found out here, or replaced.
            with contextlib.suppress(core.ConnectionFailedError):
                transport.stream(BODY).close()
        assert transport_to(gateway, http_client=client, max_retries=1).complete(BODY).finish_reason == "stop"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_no_place_in_a_small_async_pool_is_lost(
    make_gateway: Callable[..., LocalGateway], library: ModuleType
) -> None:
    gateway = make_gateway(answer=_faulty)
    async with library.AsyncClient(limits=library.Limits(max_connections=1), trust_env=False) as client:
        transport = transport_to(gateway, http_async_client=client, timeout=0.25)
        for fault in ("drop", "reset", "end", "stall", "silence"):
            asking = _asking_for(fault)
            with pytest.raises(core.KiloCodeError):
                await transport.acomplete(asking)
            with pytest.raises(core.KiloCodeError):
                [delta async for delta in await transport.astream(asking)]
            with contextlib.suppress(core.ConnectionFailedError):
                await (await transport.astream(BODY)).aclose()
        transport = transport_to(gateway, http_async_client=client, max_retries=1)
        assert (await transport.acomplete(BODY)).finish_reason == "stop"
