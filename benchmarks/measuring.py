"""Runs probes: a worker process for each class, a time limit for each run, and one verdict for each cell."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
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

from benchmarks.probing import YES, FailedError, extras
from kilocode_gateway.local import LocalGateway

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.probing import Bench, Table

LIMIT = 15.0
"""Seconds that one run may take."""
START_LIMIT = 90.0
"""Seconds for a worker's imports, on a slow machine."""
ROOT = Path(__file__).parents[1]
SETTINGS = ("KILO", "OPENAI_", "OPENROUTER_", "ANTHROPIC_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Cell:
    """One verdict, and what stands behind it."""

    verdict: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """What one class can do, and the versions that it was measured with."""

    cells: dict[str, Cell]
    versions: dict[str, str]


def load(name: str) -> Table:
    """Give a table by its name, which is its folder's."""
    found: Table = importlib.import_module(f"benchmarks.{name}.table").TABLE
    return found


class Worker:
    """A process that runs the probes of one class, in the environment of that Python."""

    def __init__(self, table: Table, subject: str, python: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = self._folder.name
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith((*SETTINGS, *table.removed)) and name.upper() not in PROXIES
        }
        # Empty folders, so that nothing fetched earlier helps.
        environment |= dict.fromkeys(("KILOCODE_CACHE_DIR", "HF_HOME", *table.emptied), folder)
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [python, "-c", f"from benchmarks.measuring import serve; serve({table.name!r}, {subject!r})"],
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
        started = self._answer(START_LIMIT)
        if started is None:
            self.stop()
            raise RuntimeError(f"expected the worker of {subject} to start, got nothing")
        self.versions: dict[str, str] = started["versions"]
        self.tries: dict[str, list[str]] = started["tries"]
        """Probe -> the names of the further settings to give, in turn; the first is empty."""

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


def measure(table: Table, subject: str, rows: Iterable[str], python: str = sys.executable) -> Column:
    """Measure one class: row -> cell."""
    found = {}
    worker = Worker(table, subject, python)
    try:
        for row in rows:
            best: Cell | None = None
            for place, extra in enumerate(worker.tries[row]):
                ways: dict[str, Cell] = {}
                for way in table.probes[row].ways:
                    cell = worker.run(row, way, place)
                    if cell is None:
                        worker.stop()
                        cell = Cell(f"no: no answer within {LIMIT:.0f} s")
                        worker = Worker(table, subject, python)
                    ways[way] = cell
                cell = _together(ways)
                if cell.verdict.startswith(YES):
                    best = Cell(f"yes, with {extra}", cell.details) if extra and cell.verdict == YES else cell
                    break
                best = cell if best is None else _better(best, cell, extra)
            found[row] = best or Cell("no")
    finally:
        worker.stop()
    return Column(found, worker.versions)


def _better(best: Cell, other: Cell, extra: str) -> Cell:
    """Give the cell with more yes in it, the first when none has more."""
    if other.verdict.count(YES) <= best.verdict.count(YES):
        return best
    return Cell(f"{other.verdict} (with {extra})", other.details)


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
    waits = {way for way in ways if way.startswith("a")}
    streams = {way for way in ways if "stream" in way}
    short = {"sync": ways - waits, "async": waits, "whole": ways - streams, "streams": streams}
    return next((name for name, group in short.items() if set(held) == group), ", ".join(held))


def serve(table_name: str, subject_name: str) -> None:
    """Run probes as the lines of the standard input name them, one answer a line."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    table = load(table_name)
    subject = table.subjects[subject_name]
    tries = {probe: [extras(extra) for extra in subject.settings(probe)] for probe in table.probes}
    _close_the_network()
    used: set[int] = set()
    print(json.dumps({"versions": _versions(table), "tries": tries}), file=answers, flush=True)
    for line in sys.stdin:
        probe, way, place = json.loads(line)
        with contextlib.ExitStack() as running:
            bench = table.bench(subject, way, subject.settings(probe)[place], _gateway(running, used))
            running.callback(bench.close)
            print(json.dumps(_verdict(table, probe, bench)), file=answers, flush=True)


def _versions(table: Table) -> dict[str, str]:
    found = {}
    for name in table.packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _verdict(table: Table, probe: str, bench: Bench) -> dict[str, str]:
    try:
        verdict = table.probes[probe].run(bench)
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
