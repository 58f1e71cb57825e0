"""`python -m tests.faults`: every fault on every asker, the line ended after every byte; the last line sums up."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.faults.matrix import Report, libraries, run
from tests.faults.subjects import installed, subjects


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description="Let every fault happen to every asker.")
    parser.add_argument("--step", type=int, default=1, help="end the line after each so many bytes (1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many run at once")
    parser.add_argument("--only", default="", help="only askers with this word in their name")
    given = parser.parse_args()
    begin, total = time.monotonic(), Report()
    cells = [
        (framework, library, subject.name)
        for framework in installed()
        for library in libraries()
        for subject in subjects(framework)
        if given.only in subject.name
    ]
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        running = [(cell, pool.submit(run, *cell, given.step)) for cell in cells]
        for (_, library, name), future in running:
            report = future.result()
            print(f"{name}, {library}: {report}", flush=True)
            total.add(report)
    for line in total.wrong:
        print(f"WRONG: {line}")
    print(f"{total}, in {time.monotonic() - begin:.0f} seconds.")
    sys.exit(bool(total.wrong))


if __name__ == "__main__":
    main()
