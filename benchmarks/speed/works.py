"""The pieces of work, done in the process of one subject; each gives figures in seconds, bytes or counts."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.subjects import make

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.speed.subjects import Subject

SMALL = 200
"""Small requests of one run; their median counts."""
CROWD = 500
OBJECTS = 50
PICTURE_BYTES = 5_000_000
_QUESTION = [("user", "Answer at length.")]
_HISTORY = [
    ("user" if place % 2 == 0 else "assistant", f"Message {place}: what was said, in a sentence or two.")
    for place in range(999)
]
Figures = dict[str, float]


class Works:
    """All work on one subject."""

    def __init__(self, subject: Subject, address: str) -> None:
        self.subject = subject
        self._address = address
        self._made: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()

    def run(self, work: str, arguments: dict[str, Any]) -> Figures:
        """Do some work once."""
        found: Figures = getattr(self, work)(**arguments)
        return found

    def at(self, answer: str) -> Any:
        """Give the subject's object for that answer of the server."""
        if answer not in self._made:
            self._made[answer] = make(self.subject, f"{self._address}/{answer}")
        return self._made[answer]

    def asked(self, messages: int) -> Any:
        """Give a conversation of so many messages."""
        key = str(messages)
        if key not in self._asked:
            turns = [*_HISTORY[: messages - 1], *_QUESTION]
            self._asked[key] = self.at("small").conversation(turns)
        return self._asked[key]

    def stream(self, answer: str, way: str = "sync", messages: int = 1) -> Figures:
        """Read a stream; per chunk of the wire."""
        subject, asked = self.at(answer), self.asked(messages)

        def sync() -> int:
            return sum(1 for _ in subject.stream(asked))

        async def count() -> int:
            found = 0
            async for _ in subject.astream(asked):
                found += 1
            return found

        figures = self._pieces(answer, sync if way == "sync" else lambda: self._loop.run_until_complete(count()))
        if figures["given"] < int(answer.split("-")[1]) and not answer.endswith("-joined"):
            raise RuntimeError(f"expected every piece of {answer}, got {figures['given']:.0f}")
        return figures

    def events(self, answer: str) -> Figures:
        """Read the framework's events of a stream; per chunk of the wire."""
        subject, asked = self.at(answer), self.asked(1)

        async def count() -> int:
            found = 0
            async for _ in subject.aevents(asked):
                found += 1
            return found

        if hasattr(subject, "events"):
            return self._pieces(answer, lambda: sum(1 for _ in subject.events(asked)))
        return self._pieces(answer, lambda: self._loop.run_until_complete(count()))

    def total(self, answer: str) -> Figures:
        """Read a stream and add its pieces up."""
        subject, asked = self.at(answer), self.asked(1)
        return self._pieces(answer, lambda: bool(subject.total(asked)))

    def _pieces(self, answer: str, read: Callable[[], int]) -> Figures:
        chunks = int(answer.split("-")[1])
        figures, given = timed(read)
        if not given:
            raise RuntimeError(f"expected an answer of {chunks} pieces, got none")
        return {"cpu": figures["cpu"] / chunks, "given": given}

    def request(self, messages: int, times: int) -> Figures:
        """Ask for whole answers; the median of one."""
        subject, asked = self.at("small"), self.asked(messages)
        found = sorted(timed(lambda: subject.ask(asked))[0]["cpu"] for _ in range(times))
        return {"cpu": found[len(found) // 2]}

    def crowd(self, at_once: int) -> Figures:
        """Ask many times at once; requests a second."""
        subject, asked = self.at("delayed"), self.asked(1)
        crowd = _crowd(lambda: subject.aask(asked), at_once)
        figures, _ = timed(lambda: self._loop.run_until_complete(crowd))
        return {"cpu": figures["cpu"] / CROWD, "wall": figures["wall"], "rate": CROWD / figures["wall"]}

    def objects(self) -> Figures:
        """Make more objects with the same settings, and use each of them once."""
        subject, asked = self.at("small"), self.asked(1)
        subject.ask(asked)
        kept = [subject.another() for _ in range(5)]
        took = sorted(timed(subject.another)[0]["cpu"] for _ in range(OBJECTS))
        files = _open_files()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept = [subject.another() for _ in range(OBJECTS)]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        first = subject.model
        for model in kept:
            subject.model = model
            subject.ask(asked)
        subject.model = first
        figures = {"cpu": took[len(took) // 2], "bytes": grown / OBJECTS, "files": _open_files() - files}
        del kept
        return figures

    def picture(self) -> Figures:
        """Ask about a picture of 5 MB; the most memory held beside the message is told in copies of its base64."""
        data = "iVBORw0KGgoA" + "A" * (PICTURE_BYTES // 3 * 4)
        subject = self.at("small")
        asked = subject.picture(data)
        figures, _ = timed(lambda: subject.ask(asked))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        subject.ask(asked)
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        return {"cpu": figures["cpu"], "copies": peak / len(data)}

    def imported(self, module: str) -> Figures:
        """Import a module in a fresh process."""
        program = f"import time; begun = time.process_time(); import {module}; print(time.process_time() - begun)"
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
        return {"cpu": float(told.stdout)}

    def catalog(self, number: int) -> Figures:
        """Discover the models, start from the cache, and beside it GET and `json.loads`, in turn in this process."""
        import httpx

        from kilocode_gateway import catalog
        from kilocode_gateway.catalog import Catalog

        address = f"{self._address}/catalog-{number}/"
        client = self._made.setdefault("client", httpx.Client(timeout=60))

        def start() -> Catalog:
            # What a new process knows: nothing but the file.
            catalog._memory._slots.clear()  # noqa: SLF001 - there is no public way to be a new process
            return Catalog.discover(base_url=address)

        def plain() -> Any:
            return json.loads(client.get(f"{address}models").content)

        bare, _ = timed(plain)
        discover, found = timed(lambda: Catalog.discover(base_url=address, refresh=True, http_client=client))
        if len(found) < number:
            raise RuntimeError(f"expected {number} models, got {len(found)}")
        warm, found = timed(start)
        if found.source != "cache":
            raise RuntimeError(f"expected the list from the cache, got it from {found.source}")
        return {"plain": bare["cpu"], "discover": discover["cpu"], "warm": warm["cpu"]}


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def _crowd(ask: Callable[[], Awaitable[Any]], at_once: int) -> None:
    waiting = iter(range(CROWD))

    async def work() -> None:
        for _ in waiting:
            await ask()

    await asyncio.gather(*(work() for _ in range(at_once)))


def timed(do: Callable[[], Any]) -> tuple[Figures, Any]:
    """Take the time of something: CPU of the whole process, and wall."""
    begun, begun_wall = time.process_time(), time.perf_counter()
    found = do()
    return {"cpu": time.process_time() - begun, "wall": time.perf_counter() - begun_wall}, found
