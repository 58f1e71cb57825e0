"""Streams that are left right before their event loop ends: it waits until they are closed, and reports nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.clients import http_library
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import Reply
from kilocode_gateway.loops import Turns, Unlisted
from kilocode_gateway.transport import Transport
from kilocode_gateway.usage import track_usage
from tests.core.helpers import BODY, eventually, soon, transport_to

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from kilocode_gateway.local import LocalGateway

HI = {"model": "openai/gpt-5.4", "messages": [{"role": "user", "content": "Hi."}]}
LIBRARIES = ["httpx2", "httpx"]


@pytest.fixture
def transport(gateway: LocalGateway) -> Transport:
    gateway.script(*[Reply.text("word " * 2_000, chunk_delay=0.005)] * 3)
    return Transport(GatewayConfig.resolve(api_key="test-key-1", base_url=gateway.base_url))


kept: list[Any] = []


async def _pieces(transport: Transport) -> AsyncGenerator[Any, None]:
    async with await transport.astream(HI) as stream:
        async for piece in stream:
            yield piece


async def stream_left(transport: Transport) -> None:
    async for _ in await transport.astream(HI):
        break


async def stream_closed(transport: Transport) -> None:
    async with await transport.astream(HI) as stream:
        await anext(stream)


async def generator_left(transport: Transport) -> None:
    async for _ in _pieces(transport):
        break


async def generator_closed(transport: Transport) -> None:
    pieces = _pieces(transport)
    await anext(pieces)
    await pieces.aclose()


async def generator_kept(transport: Transport) -> None:
    kept.append(_pieces(transport))
    await anext(kept[-1])


async def generator_left_a_little_earlier(transport: Transport) -> None:
    async for _ in _pieces(transport):
        break
    await asyncio.sleep(0)


async def task_left_behind(transport: Transport) -> None:
    async def read() -> None:
        async for _ in _pieces(transport):
            begun.set()

    begun = asyncio.Event()
    kept.append(asyncio.create_task(read()))
    await begun.wait()


WAYS = [
    stream_left,
    stream_closed,
    generator_left,
    generator_closed,
    generator_kept,
    generator_left_a_little_earlier,
    task_left_behind,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_left_at_the_loops_end_is_closed_without_a_report(
    transport: Transport, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, way: Any
) -> None:
    for _ in range(3):
        asyncio.run(way(transport))
    assert eventually(lambda: len(gateway.disconnects) == 3)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    kept.clear()


@pytest.mark.parametrize("way", [way for way in WAYS if way is not generator_left_a_little_earlier])
def test_the_loop_waits_for_a_connection_that_is_slow_to_close(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture, way: Any
) -> None:
    library, closed = http_library(), []

    class Slow(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            async for chunk in self.stream:
                yield chunk

        async def aclose(self) -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            await self.stream.aclose()
            closed.append(self)

    class Through(library.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            response.stream = Slow(response.stream)
            return response

    async def run() -> None:
        client = library.AsyncClient(transport=Through())
        config = GatewayConfig.resolve(api_key="test-key-1", base_url=gateway.base_url)
        await way(Transport(config, http_async_client=client))

    gateway.script(Reply.text("word " * 2_000, chunk_delay=0.005))
    asyncio.run(run())
    assert len(closed) == 1
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    kept.clear()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_users_own_client_is_left_in_order(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture, way: Any, library: str
) -> None:
    module = pytest.importorskip(library)

    async def run() -> None:
        client = module.AsyncClient()
        kept.append(client)
        config = GatewayConfig.resolve(api_key="test-key-1", base_url=gateway.base_url)
        await way(Transport(config, http_async_client=client))

    gateway.script(Reply.text("word " * 2_000, chunk_delay=0.005))
    asyncio.run(run())
    assert eventually(lambda: len(gateway.disconnects) == 1)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    kept.clear()


def test_a_loop_that_nobody_shuts_down_leaves_nothing_for_the_next(transport: Transport, gateway: LocalGateway) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(generator_closed(transport))
    loop.close()
    asyncio.run(generator_left(transport))
    assert eventually(lambda: len(gateway.disconnects) == 2)


async def test_what_is_thrown_into_the_first_step_reaches_the_generator() -> None:
    seen: list[str] = []
    waiting = asyncio.Event()

    async def waits() -> AsyncGenerator[int, None]:
        waiting.set()
        try:
            await asyncio.sleep(60)
            yield 1
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def read() -> None:
        async for _ in Unlisted(waits()):
            pass

    task = asyncio.create_task(read())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_an_unlisted_generator_is_read_like_any_other() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    assert [number async for number in Unlisted(numbers())] == [0, 1, 2]
    empty = Unlisted(numbers())
    await empty.aclose()
    assert [number async for number in empty] == []


async def generator_in_a_cycle(transport: Transport) -> None:
    pieces = _pieces(transport)
    await anext(pieces)
    cycle: list[Any] = [pieces]
    cycle.append(cycle)


async def stream_in_a_cycle(transport: Transport) -> None:
    stream = await transport.astream(HI)
    await anext(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)


@pytest.mark.parametrize("way", [generator_in_a_cycle, stream_in_a_cycle])
def test_a_stream_collected_in_a_cycle_is_closed_without_a_report(
    transport: Transport, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, new_loop: Any, way: Any
) -> None:
    async def run() -> None:
        await way(transport)
        gc.collect()
        while not gateway.disconnects:  # noqa: ASYNC110 - the gateway's threads see it
            await asyncio.sleep(0.005)

    with track_usage() as used, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())
    assert used.total.calls == 1
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_stream_dropped_after_its_bytes_is_counted(gateway: LocalGateway) -> None:
    transport = Transport(GatewayConfig.resolve(api_key="test-key-1", base_url=gateway.base_url))
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    gateway.script(Reply.raw(200, {"model": "m", "choices": [choice]}))
    with track_usage() as used:
        stream = await transport.astream(HI)
        await anext(stream)
        del stream
        while not used.total.calls:  # noqa: ASYNC110 - the loop closes what was dropped
            await asyncio.sleep(0)


async def test_a_thread_that_collects_closes_no_generator_under_its_owner() -> None:
    closing, collected = threading.Event(), threading.Event()

    async def pieces() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closing.set()
            collected.wait(30)

    async def owner() -> AsyncGenerator[int, None]:
        async with aclosing(Unlisted(pieces())) as owned:
            async for piece in owned:
                yield piece

    def drop(dropped: Any) -> None:
        loops_own(dropped)
        closing.wait(30)

    def collect() -> None:
        gc.collect()
        collected.set()

    loops_own: Any = sys.get_asyncgen_hooks().finalizer
    sys.set_asyncgen_hooks(finalizer=drop)
    cycle: list[Any] = [owner()]
    cycle.append(cycle)
    gc.disable()
    try:
        assert await anext(cycle[0]) == 1
        del cycle
        sys.set_asyncgen_hooks(finalizer=loops_own)
        await asyncio.to_thread(collect)
    finally:
        gc.enable()
    assert closing.is_set()


class _Iterations:
    """Counts the iterations of the running event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._tick)

    def stop(self) -> None:
        self._handle.cancel()


async def test_those_who_are_woken_together_go_on_one_after_another() -> None:
    turns, went = Turns(), list[tuple[int, int]]()
    iterations = _Iterations()

    async def go(number: int) -> None:
        await turns.take()
        went.append((number, iterations.count))

    for crowd in (range(5), range(5, 9)):
        tasks = [asyncio.create_task(go(number)) for number in crowd]
        await asyncio.gather(*tasks)
    iterations.stop()
    assert [number for number, _ in went] == list(range(9))
    assert len({iteration for _, iteration in went}) == 9


async def test_who_is_cancelled_takes_no_turn() -> None:
    turns, went = Turns(), list[int]()

    async def go(number: int) -> None:
        await turns.take()
        went.append(number)

    tasks = [asyncio.create_task(go(number)) for number in range(5)]
    await asyncio.sleep(0)
    for number in (1, 2, 4):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert went == [0, 3]
    await go(5)
    assert went == [0, 3, 5]


async def test_answers_that_arrive_together_are_read_one_after_another(
    make_gateway: Callable[..., LocalGateway],
) -> None:
    answer = threading.Event()

    def wait(_: Any) -> Reply:
        answer.wait(60)
        return Reply.text("Hello there.")

    gateway = make_gateway(answer=wait)
    transport = transport_to(gateway)
    iterations, came = _Iterations(), list[int]()

    async def ask() -> None:
        await transport.acomplete(BODY)
        came.append(iterations.count)

    tasks = [asyncio.create_task(ask()) for _ in range(8)]
    assert await soon(lambda: len(gateway.chat_requests) == 8)
    answer.set()
    time.sleep(0.5)  # noqa: ASYNC251 - the loop sees the answers when all have arrived
    await asyncio.gather(*tasks)
    iterations.stop()
    assert len(set(came)) == 8
