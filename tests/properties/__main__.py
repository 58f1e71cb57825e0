"""Tries every property with many inputs: python -m tests.properties [--examples N] [--seed N] [--only TEXT]."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.properties.trying import PROPERTIES, attempt, collect, prepare, seed_of


def fuzz(names: list[str], target: int, seed: int, processes: int, folder: str) -> tuple[int, set[str]]:
    """Try the properties in turn until so many examples were tried, and give their number and what failed."""
    tried, failed = 0, set[str]()
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=prepare, initargs=(folder,)
    ) as pool:
        done = 0
        while tried < target and (standing := [name for name in names if name not in failed]):
            rounds = max(1, math.ceil((target - tried) / sum(PROPERTIES[name].batch for name in standing)))
            tasks = [
                pool.submit(attempt, name, seed_of(seed, name, done + turn))
                for turn in range(rounds)
                for name in standing
            ]
            done += rounds
            before = tried
            for task in as_completed(tasks):
                name, count, failure = task.result()
                tried += count
                print(f"{tried:9,} examples  {name} {'FAILED' if failure else ''}".rstrip(), flush=True)
                if failure and name not in failed:
                    failed.add(name)
                    print(failure, flush=True)
            if tried == before:
                break
    return tried, failed


def main() -> int:
    """Read the command line, run, and end with one line that says what was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="at least so many, of all properties together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="random unless given")
    parser.add_argument("--only", default="", help="a part of the names of the properties to try")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kilocode-fuzz-") as folder:
        # What Hypothesis keeps for itself is not left in the checkout.
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(Path(folder) / "hypothesis")
        for line in collect():
            print(line)
        names = sorted(name for name in PROPERTIES if asked.only in name)
        print(f"{len(names)} properties, seed {asked.seed}, {asked.processes} processes", flush=True)
        tried, failed = fuzz(names, asked.examples, asked.seed, asked.processes, folder)
    for name in sorted(failed):
        print(f"FAILED: {name}")
    print(
        f"Fuzz: {len(names)} properties, {tried:,} examples, seed {asked.seed}, {len(failed)} failures "
        f"in {time.monotonic() - start:.0f} s"
    )
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
