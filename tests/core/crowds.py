"""What must hold of one object that many use at once; each framework's tests hold it of their own.

A module of tests inherits from `OneObject` and has a fixture `ways`, which gives the ways to ask its object.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import secrets
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import track_usage
from tests.soak.fates import belongings, whole
from tests.soak.ledger import Sums

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from kilocode_gateway.local import LocalGateway, RecordedRequest, Reply
    from kilocode_gateway.usage import UsageTracker

    NewLoop = Callable[[], asyncio.AbstractEventLoop]

MOST_CONNECTIONS = 1000
"""How many connections one client opens."""
STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways to ask one object: each takes a prompt and gives text."""

    complete: Callable[[str], str]
    acomplete: Callable[[str], Awaitable[str]]
    stream: Callable[[str], Iterator[str]]
    astream: Callable[[str], AsyncIterator[str]]

    def ask(self, *, streamed: bool) -> str:
        """Ask, check that the answer is the asker's own, and give the marker."""
        marker = secrets.token_hex(8)
        text = "".join(self.stream(marker)) if streamed else self.complete(marker)
        assert text == belongings(marker).text, f"{marker} got the answer of another"
        return marker

    async def aask(self, *, streamed: bool) -> str:
        """Do what `ask` does, without blocking the event loop."""
        marker = secrets.token_hex(8)
        pieces = [piece async for piece in self.astream(marker)] if streamed else [await self.acomplete(marker)]
        assert "".join(pieces) == belongings(marker).text, f"{marker} got the answer of another"
        return marker


class Echo:
    """Answers each request with what belongs to its marker, once so many have come as are waited for."""

    def __init__(self) -> None:
        self.wait_for(0)

    def wait_for(self, count: int) -> None:
        """Hold the next requests back until there are so many."""
        self._missing, self._lock, self._all_here = count, threading.Lock(), threading.Event()

    def __call__(self, request: RecordedRequest) -> Reply | None:
        if request.method != "POST":
            return None
        content = request.json["messages"][-1]["content"]
        marker, _, fault = (content if isinstance(content, str) else content[0]["text"]).partition(" ")
        with self._lock:
            self._missing -= 1
        if self._missing <= 0:
            self._all_here.set()
        assert self._all_here.wait(60), f"{self._missing} requests did not come"
        faults: dict[str, Any] = {"stall_after": 700, "stall": 1.5} if fault == STALLED else {}
        return whole("chat", belongings(marker), **faults)


class OneObject:
    """One object, many at once, whole and streamed: whoever asks gets the answer to what was asked."""

    @pytest.fixture
    def echo(self) -> Echo:
        return Echo()

    @pytest.fixture
    def gateway(self, make_gateway: Callable[..., LocalGateway], echo: Echo) -> LocalGateway:
        """Give a gateway that answers each request with what belongs to it."""
        return make_gateway(answer=echo)

    @pytest.fixture
    def many_descriptors(self) -> Iterator[None]:
        """Let this process, which is client and gateway at once, open thousands of files."""
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 4 * MOST_CONNECTIONS:
            pytest.skip(f"at most {hard} files may be open")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * MOST_CONNECTIONS), hard))
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_64_threads(self, ways: Ways, gateway: LocalGateway, echo: Echo) -> None:
        echo.wait_for(64)
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda number: ways.ask(streamed=number % 2 == 0), range(256)))
        assert len(gateway.chat_requests) == 256
        assert gateway.connections <= 64

    @pytest.mark.usefixtures("many_descriptors")
    def test_more_tasks_than_one_client_opens_connections(self, ways: Ways, gateway: LocalGateway, echo: Echo) -> None:
        echo.wait_for(MOST_CONNECTIONS)

        async def crowd() -> None:
            tasks = (ways.aask(streamed=number % 2 == 0) for number in range(MOST_CONNECTIONS + 100))
            await asyncio.gather(*tasks)

        asyncio.run(crowd())
        assert gateway.connections == MOST_CONNECTIONS

    def test_event_loops_in_several_threads_beside_threads_without(
        self, ways: Ways, echo: Echo, new_loop: NewLoop
    ) -> None:
        echo.wait_for(4 * 30 + 16)

        async def crowd() -> None:
            for _ in range(3):
                await asyncio.gather(*(ways.aask(streamed=number % 2 == 0) for number in range(30)))

        with ThreadPoolExecutor(20) as pool:
            loops = [pool.submit(run, crowd(), new_loop) for _ in range(4)]
            threads = [pool.submit(ways.ask, streamed=number % 2 == 0) for number in range(64)]
            for future in (*loops, *threads):
                future.result(60)

    def test_each_block_counts_its_own(self, ways: Ways, new_loop: NewLoop) -> None:
        everything = Sums()

        def settle(tracker: UsageTracker, markers: list[str]) -> None:
            sums = Sums()
            for marker in markers:
                sums.add(marker)
            assert sums.differs(tracker.total) is None
            with lock:
                for marker in markers:
                    everything.add(marker)

        def thread() -> None:
            with track_usage() as tracker:
                settle(tracker, [ways.ask(streamed=number % 2 == 0) for number in range(4)])

        async def task() -> None:
            with track_usage() as tracker:
                markers = [await ways.aask(streamed=streamed) for streamed in (False, True)]
                markers += await asyncio.gather(ways.aask(streamed=False), ways.aask(streamed=True))
                settle(tracker, markers)

        async def crowd() -> None:
            await asyncio.gather(*(task() for _ in range(30)))

        lock = threading.Lock()
        with track_usage() as outer, ThreadPoolExecutor(18) as pool:
            asked = [pool.submit(contextvars.copy_context().run, thread) for _ in range(16)]
            asked += [pool.submit(contextvars.copy_context().run, run, crowd(), new_loop) for _ in range(2)]
            for future in asked:
                future.result(60)
        assert everything.differs(outer.total) is None
        assert outer.total.calls == 16 * 4 + 2 * 30 * 4

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_fork_amid_streams(self, ways: Ways, new_loop: NewLoop) -> None:
        markers = [secrets.token_hex(8) for _ in range(3)]
        prompts = [f"{marker} {STALLED}" for marker in markers]
        streams: list[Any] = [ways.stream(prompts[0]), ways.stream(prompts[1]), ways.astream(prompts[2])]

        async def first() -> str:
            return await anext(streams[2])

        async def rest() -> list[str]:
            return [piece async for piece in streams[2]]

        with asyncio.Runner(loop_factory=new_loop) as runner, ThreadPoolExecutor(4) as pool:
            heard = [[next(streams[0])], [next(streams[1])], [runner.run(first())]]
            # What a child must not touch: idle connections, and a stream that another thread is reading.
            list(pool.map(lambda _: ways.ask(streamed=False), range(4)))
            reading = pool.submit(list, streams[1])
            child = Child(lambda: in_child(ways, streams, new_loop))
            while not child.is_done:
                ways.ask(streamed=True)
                runner.run(ways.aask(streamed=False))
            heard[0] += list(streams[0])
            heard[1] += reading.result(20)
            heard[2] += runner.run(rest())
            told = child.told()
        assert told == "right"
        assert ["".join(pieces) for pieces in heard] == [belongings(marker).text for marker in markers]


def run(work: Any, new_loop: NewLoop) -> Any:
    """Run a coroutine in a new event loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


def in_child(ways: Ways, streams: list[Any], new_loop: NewLoop) -> None:
    """Drop what the parent reads, and use its object."""
    streams.clear()
    gc.collect()
    for _ in range(20):
        ways.ask(streamed=False)
        run(ways.aask(streamed=True), new_loop)


class Child:
    """A fork of this process, in which some work is done."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._read_end, write_end = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                signal.alarm(60)
                work()
                os.write(write_end, b"right")
            except BaseException as error:  # noqa: BLE001 - it is told to the parent
                os.write(write_end, repr(error).encode())
            finally:
                os._exit(0)
        os.close(write_end)

    @property
    def is_done(self) -> bool:
        """Whether it has told how it went."""
        return bool(select.select([self._read_end], [], [], 0)[0])

    def told(self) -> str:
        """Wait until it ends: "right", or what went wrong."""
        with os.fdopen(self._read_end) as pipe:
            told = pipe.read()
        os.waitpid(self._process, 0)
        return told
