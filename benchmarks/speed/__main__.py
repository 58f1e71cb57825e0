"""Measure the speed of both chat models beside their peers.

    python -m benchmarks.speed [--runs 3] [--only WORDS] [--result FILE] [--page FILE] [--readme FILE]

Prints the table of goals. Leaves with 1 when a goal is missed, which says nothing of a busy machine's figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed import report
from benchmarks.speed.goals import GOALS, MEASURED, SLOW
from benchmarks.speed.server import start
from benchmarks.speed.subjects import BY_NAME
from benchmarks.speed.worker import Worker

if TYPE_CHECKING:
    from benchmarks.speed.goals import Measured

_SLOW_TURNS = 2


def measure(works: list[Measured], pythons: dict[str, str], address: str) -> tuple[report.Result, dict[str, Any]]:
    """Do all the work in turns: each turn of a piece of work runs once on each subject, in any order."""
    found: report.Result = {}
    workers: dict[str, Worker] = {}
    try:
        for number, work in enumerate(works, start=1):
            for name in work.subjects:
                if name not in workers:
                    workers[name] = Worker(name, pythons[BY_NAME[name].environment], address)
            print(f"{number}/{len(works)} {work.key('')[2:]}", file=sys.stderr)
            for name, figures in _turns(work, workers).items():
                found[work.key(name)] = figures
    finally:
        for worker in workers.values():
            worker.stop()
    return found, {name: worker.versions for name, worker in workers.items()}


def _turns(work: Measured, workers: dict[str, Worker]) -> dict[str, dict[str, float]]:
    arguments = dict(work.arguments)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in work.subjects}
    # The first turn warms up: imports, connections, caches.
    for turn in range(work.turns + (work.turns > 1)):
        for name in random.sample(work.subjects, len(work.subjects)):
            if name in SLOW and turn > _SLOW_TURNS:
                continue
            figures[name].append(workers[name].run(work.work, arguments))
    return {
        name: {key: statistics.median(turn[key] for turn in turns[1:] or turns) for key in turns[0]}
        for name, turns in figures.items()
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Measure speed beside the peers.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--only", default="", help="work whose description holds this; prints figures and writes nothing"
    )
    parser.add_argument("--python", action="append", default=[], help="ENVIRONMENT=PATH of its Python")
    parser.add_argument("--result", type=Path, help="JSON, with every figure of every run")
    parser.add_argument("--page", type=Path, help="Markdown, the whole page")
    parser.add_argument("--readme", type=Path, help="where the short table stands between its marks")
    options = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    works = [work for work in MEASURED if options.only in work.key("")]
    server, address = start()
    results, versions = [], {}
    try:
        for _ in range(options.runs):
            result, versions = measure(works, pythons, address)
            results.append(result)
    finally:
        server.communicate()
    if options.only:
        print(json.dumps(results, indent=1))
        return 0
    about = {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }
    print(report.goals(results))
    missed = report.missed(results)
    print(f"{len(GOALS) - len(missed)} of {len(GOALS)} goals are reached.")
    if options.result:
        options.result.write_text(json.dumps({**about, "runs": results}, indent=1) + "\n", encoding="utf-8")
    if options.page:
        options.page.write_text(report.page(results, about), encoding="utf-8")
    if options.readme:
        report.put(report.short(results), options.readme)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
