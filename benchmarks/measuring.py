"""Runs probes: a worker process for each class, a time limit for each run, and one verdict for each cell."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.probing import PROBES, YES, Bench, FailedError, extras
from benchmarks.subjects import SUBJECTS
from kilocode_gateway.local import LocalGateway

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 15.0
"""Seconds that one run may take."""
START_LIMIT = 90.0
"""Seconds for a worker's imports, on a slow machine."""
ROOT = Path(__file__).parents[1]
SETTINGS = ("KILO", "OPENAI_", "OPENROUTER_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_", "LC_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Cell:
    """One verdict, and what stands behind it."""

    verdict: str
    details: str = ""


class Worker:
    """A process that runs the probes of one class."""

    def __init__(self, subject: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = self._folder.name
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(SETTINGS) and name.upper() not in PROXIES
        }
        # Empty folders, so that nothing fetched earlier helps: the token counting of OpenAI keeps files.
        environment |= {"KILOCODE_CACHE_DIR": folder, "TIKTOKEN_CACHE_DIR": folder, "HF_HOME": folder}
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-c", f"from benchmarks.measuring import serve; serve({subject!r})"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        if self._answer(START_LIMIT) is None:
            self.stop()
            raise RuntimeError(f"expected the worker of {subject} to start, got nothing")

    def _read(self) -> None:
        stdout = self._process.stdout
        for line in stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, limit: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            return None
        if not line:
            raise RuntimeError("expected an answer of the worker, but it ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, probe: str, way: str, place: int) -> Cell | None:
        """Run a probe in one way with the settings at that place; None when there was no answer in time."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("expected the worker to have an input")
        stdin.write(json.dumps([probe, way, place]) + "\n")
        stdin.flush()
        answer = self._answer(LIMIT)
        if answer is None:
            return None
        if "crash" in answer:
            raise RuntimeError(f"the probe {probe} itself failed, {way}:\n{answer['crash']}")
        return Cell(**answer)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def measure(subject: str, rows: Iterable[str]) -> dict[str, Cell]:
    """Measure one class: row -> cell."""
    found = {}
    worker = Worker(subject)
    try:
        for row in rows:
            best: Cell | None = None
            for place, extra in enumerate(SUBJECTS[subject].settings(row)):
                ways: dict[str, Cell] = {}
                for way in PROBES[row].ways:
                    cell = worker.run(row, way, place)
                    if cell is None:
                        worker.stop()
                        cell = Cell(f"no: no answer within {LIMIT:.0f} s")
                        worker = Worker(subject)
                    ways[way] = cell
                cell = _together(ways)
                if cell.verdict.startswith(YES):
                    with_settings = f"yes, with {extras(extra)}"
                    best = Cell(with_settings, cell.details) if extra and cell.verdict == YES else cell
                    break
                best = cell if best is None else _better(best, cell, extra)
            found[row] = best or Cell("no")
    finally:
        worker.stop()
    return found


def _better(best: Cell, other: Cell, extra: dict[str, Any]) -> Cell:
    """Give the cell with more yes in it, the first when none has more."""
    if other.verdict.count(YES) <= best.verdict.count(YES):
        return best
    return Cell(f"{other.verdict} (with {extras(extra)})", other.details)


def _together(ways: dict[str, Cell]) -> Cell:
    """Give one verdict over all ways: the same one, or each with the ways that it holds for."""
    details = "\n".join(f"  {way}: {cell.details}" for way, cell in ways.items() if cell.details)
    groups: dict[str, list[str]] = {}
    for way, cell in ways.items():
        groups.setdefault(cell.verdict, []).append(way)
    if len(groups) == 1:
        return Cell(next(iter(groups)), details)
    names = {verdict: _name(held, set(ways)) for verdict, held in groups.items()}
    ordered = sorted(groups, key=lambda verdict: not verdict.startswith(YES))
    return Cell("; ".join(f"{names[verdict]}: {verdict.removeprefix('no: ')}" for verdict in ordered), details)


def _name(held: list[str], ways: set[str]) -> str:
    """Name some ways of several, as shortly as it can be told."""
    short = {
        "sync": {"invoke", "stream"},
        "async": {"ainvoke", "astream"},
        "whole": {"invoke", "ainvoke"},
        "streams": {"stream", "astream"},
    }
    return next((name for name, group in short.items() if set(held) == group & ways), ", ".join(held))


def serve(subject: str) -> None:
    """Run probes as the lines of the standard input name them, one answer a line."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    from benchmarks import rows  # noqa: F401 - makes the probes

    _ = SUBJECTS[subject].model_class
    _close_the_network()
    used: set[int] = set()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        probe, way, place = json.loads(line)
        with contextlib.ExitStack() as running:
            bench = Bench(SUBJECTS[subject], way, SUBJECTS[subject].settings(probe)[place], _gateway(running, used))
            running.callback(bench.close)
            print(json.dumps(_verdict(probe, bench)), file=answers, flush=True)


def _verdict(probe: str, bench: Bench) -> dict[str, str]:
    try:
        verdict = PROBES[probe].run(bench)
    except FailedError as failed:
        return {"verdict": f"no: {type(failed.error).__name__}", "details": repr(failed.error)[:600]}
    except Exception:  # noqa: BLE001 - a mistake of the probe, which must not pass for one of the class
        return {"crash": traceback.format_exc()}
    return {"verdict": verdict, "details": "" if verdict == YES else verdict}


def _gateway(running: contextlib.ExitStack, used: set[int]) -> LocalGateway:
    """Start a gateway on a port that no earlier probe had: connections are kept by address."""
    while True:
        found = running.enter_context(LocalGateway())
        if found.port not in used:
            used.add(found.port)
            return found


def _close_the_network() -> None:
    """Refuse every connection and every name but this machine's own."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def checked(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.startswith("127.") and name not in ("localhost", "::1"):
            raise OSError(f"the network is closed in a probe, so there is no {name}")

    def own_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            checked(address[0])
        connect(self, address)

    def own_look_up(host: Any, *others: Any, **named: Any) -> Any:
        checked(host)
        return look_up(host, *others, **named)

    socket.socket.connect = own_connect  # type: ignore[method-assign]
    socket.getaddrinfo = own_look_up
