"""The soak itself: threads and event loops that ask for as long as there is something to ask, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import faulthandler
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilocode_gateway import clients
from kilocode_gateway.usage import UsageTracker, track_usage
from tests.soak.askers import ASYNC, HASTY, PATIENT, SYNC, Asker, Objects
from tests.soak.fates import WHOLE, Request
from tests.soak.gateway import GatewayProcess
from tests.soak.ledger import Ledger, Sums
from tests.soak.watching import Reading, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

_STUCK_SECONDS = 180.0
_PARTS = 10
_MANY = 50_000
"""Requests from which on each part is looked at, not only the first and the last."""
_ENOUGH_FOR_MEMORY = 5_000
_MOST_GROWTH = 5.0
"""Percent. Of fewer requests the memory says nothing: the frameworks and the allocator still warm up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked, and by how many at once."""

    requests: int
    threads: int = 24
    loops: int = 2
    tasks: int = 32
    """In each loop."""
    seed: int = 7
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self, watch: Watch, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = new_loop()
        watch.watch_loop(self.loop)
        self._thread = threading.Thread(target=self.loop.run_forever, name="soak-loop")
        self._thread.start()

    def submit(self, work: Any) -> Future[Any]:
        """Run a coroutine in the caller's context."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """Shut it down in good order."""
        self.submit(self.loop.shutdown_asyncgens()).result(30)
        self.submit(self.loop.shutdown_default_executor()).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


class Soak:
    """One run."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self.say = plan, say
        self.ledger = Ledger(plan.requests, plan.seed)
        self.watch = Watch()
        self.wrong = self.ledger.wrong
        self.seconds = 0.0
        self.first: Reading | None = None
        self.last: Reading | None = None

    def run(self) -> None:
        """Ask everything, reading what the process holds after the first part and at the end."""
        begun, plan = time.monotonic(), self.plan
        with contextlib.ExitStack() as stack:
            gateway = stack.enter_context(GatewayProcess())
            stack.enter_context(self.watch)
            self._patient, self._hasty = (Objects(gateway.base_url, settings) for settings in (PATIENT, HASTY))
            loops = [Loop(self.watch, plan.new_loop) for _ in range(plan.loops)]
            pool = stack.enter_context(ThreadPoolExecutor(plan.threads, "soak"))
            for loop in loops:
                stack.callback(loop.close)
            tracker = stack.enter_context(track_usage())
            for part in range(1, _PARTS + 1) if plan.requests >= _MANY else (1, _PARTS):
                self.ledger.quota = plan.requests * part // _PARTS
                self._part(pool, loops)
                self._settle(gateway, loops)
                self.last = Reading.settled()
                self.first = self.first or self.last
                self.say(f"{self.ledger.taken:,} asked after {time.monotonic() - begun:.0f} s: {self.last}")
            self._check(tracker, self.ledger.sums, "all")
        self.seconds = time.monotonic() - begun

    def _part(self, pool: ThreadPoolExecutor, loops: list[Loop]) -> None:
        """Let everybody ask until the quota is reached."""
        running = [pool.submit(contextvars.copy_context().run, self._thread) for _ in range(self.plan.threads)]
        running += [loop.submit(self._task()) for loop in loops for _ in range(self.plan.tasks)]
        told, since = 0, time.monotonic()
        while not all(future.done() for future in running):
            time.sleep(0.2)
            if (now := self.ledger.told) != told:
                told, since = now, time.monotonic()
            if time.monotonic() - since > _STUCK_SECONDS:
                # Whoever is stuck cannot be joined: this process ends at once, and shows where everybody stands.
                self.say(f"WRONG: nothing has happened for {_STUCK_SECONDS:.0f} s, after {told:,} requests")
                faulthandler.dump_traceback()
                os._exit(1)
        for future in running:
            future.result()

    def _settle(self, gateway: GatewayProcess, loops: list[Loop]) -> None:
        """Let every client find out that its idle connections are closed: beside one each, only leaked ones stay."""
        gateway.hang_up()
        request = Request(0, "chat", WHOLE, "settle")
        self._patient.chat.invoke(request.prompt)
        # Each request of a loop closes one of the clients that only its crowd needed, as it does after half a minute.
        in_turn = 1 + self.plan.tasks // clients._MOST_OPEN
        idle_seconds, clients._IDLE_SECONDS = clients._IDLE_SECONDS, 0.0
        for loop in loops:
            for _ in range(in_turn):
                loop.submit(self._patient.chat.ainvoke(request.prompt)).result(60)
        clients._IDLE_SECONDS = idle_seconds
        for _ in range(1 + in_turn * len(loops)):
            self.ledger.sums.add(request.marker)

    def _thread(self) -> None:
        sums = Sums()
        with track_usage() as tracker:
            while (taken := self.ledger.take(SYNC)) is not None:
                asker, request = taken
                heard, end = [], None
                pieces = asker.ask(self._hasty if request.fate.hasty else self._patient, request.prompt)
                try:
                    for piece in pieces:
                        heard.append(piece)
                        if request.fate.leaves and piece:
                            break
                except Exception as error:  # noqa: BLE001 - the ledger judges it
                    end = error
                # Some leave in good order, some just go.
                if request.number % 2:
                    pieces.close()
                del pieces
                self.ledger.tell(asker, request, heard, end, sums)
                end = None
        self._check(tracker, sums, "a thread")

    async def _task(self) -> None:
        sums = Sums()
        with track_usage() as tracker:
            while (taken := self.ledger.take(ASYNC)) is not None:
                await self._ask(*taken, sums)
        self._check(tracker, sums, "a task")

    async def _ask(self, asker: Asker, request: Request, sums: Sums) -> None:
        heard: list[Any] = []
        end = None
        begun = asyncio.Event()

        async def read() -> None:
            pieces = asker.ask(self._hasty if request.fate.hasty else self._patient, request.prompt)
            async for piece in pieces:
                heard.append(piece)
                if request.fate.leaves and piece:
                    begun.set()
                    if request.number % 3 == 0:
                        break
                    await asyncio.sleep(0 if request.number % 3 == 1 else 0.01)
            if request.number % 2:
                await pieces.aclose()

        try:
            if request.fate.leaves and request.number % 3:
                # The reader is cancelled where it stands.
                reader = asyncio.create_task(read())
                reader.add_done_callback(lambda _: begun.set())
                await begun.wait()
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
            else:
                await read()
        except Exception as error:  # noqa: BLE001 - the ledger judges it
            end = error
        self.ledger.tell(asker, request, heard, end, sums)

    def _check(self, tracker: UsageTracker, sums: Sums, whose: str) -> None:
        if (problem := sums.differs(tracker.total)) is not None:
            self.wrong.append(f"{whose}: {problem}")

    @property
    def verdict(self) -> list[str]:
        """Everything that is off."""
        ledger, found = self.ledger, list(self.wrong)
        if ledger.lost:
            found.append(f"{ledger.lost:,} requests were lost")
        if (counted := ledger.whole + ledger.errors.total() + ledger.left) != ledger.total:
            found.append(f"the outcomes add up to {counted:,}")
        if self.watch.count:
            found += [f"{self.watch.count:,} warnings", *self.watch.kept]
        if self.first is None or self.last is None:
            return [*found, "it did not come to its end"]
        for what in ("descriptors", "threads"):
            before, after = getattr(self.first, what), getattr(self.last, what)
            if after > before:
                found.append(f"{what} grew from {before} to {after}")
        if self.plan.requests >= _ENOUGH_FOR_MEMORY and self.growth > _MOST_GROWTH:
            found.append(f"memory grew by {self.growth:.1f} %")
        return found

    @property
    def growth(self) -> float:
        """By how many percent the resident memory has grown since the first part."""
        if not self.first or not self.last or not self.first.kilobytes:
            return 0.0
        return 100 * (self.last.kilobytes / self.first.kilobytes - 1)

    def __str__(self) -> str:
        ledger, first, last = self.ledger, self.first or Reading.take(), self.last or Reading.take()
        return (
            f"Soak: {ledger.total:,} requests in {self.seconds:.0f} s: {ledger.whole:,} whole, "
            f"{ledger.errors.total():,} typed errors, {ledger.left:,} left early, {ledger.lost:,} lost; "
            f"RSS {self.growth:+.1f} %, descriptors {last.descriptors - first.descriptors:+d}, "
            f"threads {last.threads - first.threads:+d}, {self.watch.count:,} warnings"
        )
