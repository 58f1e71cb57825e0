"""Measure what each chat model class can do on the same gateway, by the same probes, and write the table.

    python -m benchmarks.capabilities                         print the table
    python -m benchmarks.capabilities --into FILE             write it between the markers of a file
    python -m benchmarks.capabilities --only WORD --details   some rows, and the errors behind them

A probe scripts the local gateway's replies, asks the class, and judges what came back and which bytes arrived. It knows
no class: `subjects.py` says how each spells its settings. Each class runs in a process of its own, whose network ends
at this machine; a process that does not answer in time is ended, and that is its verdict.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import sys
from itertools import groupby
from pathlib import Path

from benchmarks.measuring import Cell, measure
from benchmarks.rows import PROBES
from benchmarks.subjects import SUBJECTS

BEGIN = "<!-- capabilities: begin -->"
END = "<!-- capabilities: end -->"
PACKAGES = ("langchain-core", "langchain-openai", "openai", "langchain-openrouter", "openrouter", "langchain")


def rows(word: str = "") -> list[str]:
    """List the probes that there are, in the order of the table."""
    return [name for name, probe in PROBES.items() if word in f"{name} {probe.title}"]


def titles(names: list[str]) -> list[str]:
    """Give the titles of these rows."""
    return [PROBES[name].title for name in names]


def render(measured: dict[str, dict[str, Cell]]) -> str:
    """Write the table in Markdown, grouped, with the number of plain yes at its end."""
    lines = [f"| | {' | '.join(f'`{name}`' for name in measured)} |", "|---" * (len(measured) + 1) + "|"]
    known = next(iter(measured.values()))
    for group, names in groupby(known, lambda name: PROBES[name].group):
        lines.append(f"| **{group}** |{' |' * len(measured)}")
        for name in names:
            cells = [column[name].verdict for column in measured.values()]
            lines.append(f"| {PROBES[name].title} | {' | '.join(cells)} |")
    counts = [sum(cell.verdict.startswith("yes") for cell in column.values()) for column in measured.values()]
    lines.append(f"| **Yes, of {len(known)}** | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def versions() -> str:
    """Name the versions that are measured."""
    found = []
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def read(page: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Read a written table: the line of versions, and class -> row's title -> cell."""
    inside = page.partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip() for line in inside.splitlines() if line.strip()]
    table = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines if line.startswith("|")]
    heads = [head.strip("`") for head in table[0][1:]]
    body = [row for row in table[2:] if not row[0].startswith("**")]
    found = {head: {row[0]: row[place] for row in body} for place, head in enumerate(heads, start=1)}
    return lines[0], found


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description="Measure what each chat model class can do on the same gateway.")
    parser.add_argument("--into", type=Path, help="the file between whose markers the table is written")
    parser.add_argument("--only", default="", help="only rows with this word in their title or name")
    parser.add_argument("--details", action="store_true", help="tell what stands behind each cell that is no yes")
    parser.add_argument("classes", nargs="*", help=f"of {', '.join(SUBJECTS)}; all unless given")
    given = parser.parse_args()
    measured = {name: measure(name, rows(given.only)) for name in given.classes or SUBJECTS}
    if given.details:
        for name, column in measured.items():
            for row, cell in column.items():
                if cell.details:
                    print(f"{name}, {row}: {cell.verdict}\n{cell.details}\n", file=sys.stderr)
    text = f"Measured: {versions()}.\n\n{render(measured)}"
    if given.into is None:
        print(text)
        return
    page = given.into.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise SystemExit(f"expected {given.into} to hold {BEGIN} and {END}")
    before, _, rest = page.partition(BEGIN)
    given.into.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
