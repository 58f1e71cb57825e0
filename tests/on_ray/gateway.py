"""`python -m tests.on_ray.gateway`: the local gateway in a process of its own, which knows what every row is told.

It prints its address and answers each line of standard input with its book as JSON. "kill N" has it kill the worker
that asks when it has answered N requests; "hold N" has it answer no more then, until "go". The input's end ends it.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from kilocode_gateway.local import LocalGateway, Reply

if TYPE_CHECKING:
    from typing import Self

    from kilocode_gateway.local import RecordedRequest

FAULTY = 0.05
"""The part of the rows to which something happens."""
_ROW = re.compile(r"Row (\d+)\.")
_MOST_KEPT = 500


class Fate(NamedTuple):
    """What happens to a row: how often, the fault, and in which errors one asking may end (none: it never shows)."""

    times: float
    reply: str | dict[str, Any]
    ends: tuple[str, ...] = ()


FATES = {
    "busy once": Fate(1, "rate_limit_with_retry_after"),
    "reset once": Fate(1, {"drop": "reset"}),
    "down": Fate(3, "service_unavailable_503", ("UpstreamError",)),
    "cut": Fate(1, {"cut_after": 90}, ("ConnectionFailedError", "MalformedReplyError", "StreamInterruptedError")),
    "reset": Fate(1, {"reset_after": 90}, ("ConnectionFailedError", "MalformedReplyError", "StreamInterruptedError")),
    "refused": Fate(float("inf"), "invalid_request", ("InvalidRequestError",)),
}
"""The first three are repeated before anybody sees them; "down" lasts as long as one asking tries."""
BREAKS = ("reset once", "cut", "reset")
"""Those that take a connection with them."""


def fate_of(number: int) -> Fate | None:
    """Tell what happens to a row, the same in every process."""
    chance = random.Random(number)
    return FATES[chance.choice(sorted(FATES))] if chance.random() < FAULTY else None


def answer_of(number: int) -> str:
    """Give the answer to a row, and to no other."""
    return f"The answer to row {number} is {number * number + 7}."


def cost_of(number: int) -> Decimal:
    """Give what the answer to a row costs, in USD."""
    return Decimal(1 + number % 97) / 1_000_000


class Book:
    """Answers each row, and keeps what was asked, by whom, and what was billed."""

    def __init__(self, *, faulty: bool) -> None:
        self.faulty = faulty
        self.gateway: LocalGateway | None = None
        self.asked: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.breaks = 0
        self.workers: Counter[str] = Counter()
        self.most: defaultdict[str, int] = defaultdict(int)
        self.kill_at = self.hold_at = float("inf")
        self.killed: list[int] = []
        self.go = threading.Event()
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: RecordedRequest) -> Reply | None:
        found = _ROW.search(request.body.decode())
        if found is None:
            return None
        number, worker = int(found[1]), request.key or "nobody"
        with self._lock:
            if self.gateway is not None and len(self.gateway.requests) > _MOST_KEPT:
                self.gateway.clear()
            self.workers[worker] += 1
            self._under_way[worker] += 1
            self.most[worker] = max(self.most[worker], self._under_way[worker])
            held = sum(self.answered.values()) >= self.hold_at
        time.sleep(0.01)  # the model thinks
        if held:
            self.go.wait()
        with self._lock:
            self._under_way[worker] -= 1
            return self._reply(number, worker)

    def _reply(self, number: int, worker: str) -> Reply:
        self.asked[number] += 1
        fate = fate_of(number) if self.faulty else None
        failed = fate is not None and self.asked[number] <= fate.times
        if not failed:
            self.answered[number] += 1
        if sum(self.answered.values()) >= self.kill_at:
            self.kill_at = float("inf")
            self.killed.append(int(worker.rpartition("-")[2]))
            os.kill(self.killed[-1], signal.SIGKILL)
        if not failed or fate is None:
            return _whole(number)
        if isinstance(fate.reply, str):
            return Reply.error(fate.reply)
        self.breaks += 1
        return _whole(number, **fate.reply)

    def report(self) -> dict[str, Any]:
        """Give all of it, and how many connections there were."""
        with self._lock:
            return {
                "asked": self.asked,
                "answered": self.answered,
                "workers": self.workers,
                "most": self.most,
                "killed": self.killed,
                "breaks": self.breaks,
                "connections": self.gateway.connections if self.gateway else 0,
            }


def _whole(number: int, **faults: Any) -> Reply:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": float(cost_of(number))}
    return Reply.text(answer_of(number), usage=usage, **faults)


def serve(*, faulty: bool) -> None:
    """Serve until the standard input ends."""
    book = Book(faulty=faulty)
    with LocalGateway(answer=book) as gateway:
        book.gateway = gateway
        _say(gateway.base_url)
        for line in sys.stdin:
            word, _, number = line.strip().partition(" ")
            if word == "kill":
                book.kill_at = int(number)
            elif word == "hold":
                book.hold_at = int(number)
            elif word == "go":
                book.hold_at = float("inf")
                book.go.set()
            _say(json.dumps(book.report()))
        book.go.set()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class GatewayProcess:
    """That process, seen from a test; use it in a `with` statement."""

    def __init__(self, *, faulty: bool = True) -> None:
        command = [sys.executable, "-m", "tests.on_ray.gateway", *(["--faulty"] if faulty else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()

    def tell(self, command: str) -> dict[str, Any]:
        """Say "kill N", "hold N", "go" or "report", and read the book, rows by their numbers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        rows = {name: Counter({int(row): count for row, count in told[name].items()}) for name in ("asked", "answered")}
        return {**told, **rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=20)


if __name__ == "__main__":
    serve(faulty="--faulty" in sys.argv)
