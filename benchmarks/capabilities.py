"""Measure what each class of a framework can do on the same gateway, by the same probes, and write the table.

    python -m benchmarks.capabilities lc                         print the table of LangChain's classes
    python -m benchmarks.capabilities li --into FILE             write that of LlamaIndex's between a file's markers
    python -m benchmarks.capabilities lc --only WORD --details   some rows, and the errors behind them
    python -m benchmarks.capabilities li --python CLASS=PATH     a class in an environment of its own

A probe scripts the local gateway's replies, asks the class, and judges what came back and which bytes arrived. It knows
no class: `subjects.py` says how each spells its settings. Each class runs in a process of its own, whose network ends
at this machine; a process that does not answer in time is ended, and that is its verdict.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import load, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measuring import Cell, Column
    from benchmarks.probing import Table

BEGIN = "<!-- capabilities: begin -->"
END = "<!-- capabilities: end -->"
TABLES = ("lc", "li")


def rows(table: Table, word: str = "") -> list[str]:
    """List the probes that there are, in the order of the table."""
    return [name for name, probe in table.probes.items() if word in f"{name} {probe.title}"]


def titles(table: Table) -> list[str]:
    """Give the titles of all rows."""
    return [probe.title for probe in table.probes.values()]


def render(table: Table, measured: Mapping[str, Column]) -> str:
    """Write the versions, and the table in Markdown: grouped, with the number of plain yes at its end."""
    columns = [column.cells for column in measured.values()]
    lines = [f"| | {' | '.join(f'`{name}`' for name in measured)} |", "|---" * (len(measured) + 1) + "|"]
    for group, names in groupby(columns[0], lambda name: table.probes[name].group):
        lines.append(f"| **{group}** |{' |' * len(measured)}")
        for name in names:
            cells = [column[name].verdict for column in columns]
            lines.append(f"| {table.probes[name].title} | {' | '.join(cells)} |")
    counts = [sum(cell.verdict.startswith("yes") for cell in column.values()) for column in columns]
    lines.append(f"| **Yes, of {len(columns[0])}** | {' | '.join(map(str, counts))} |")
    versions = _versions({name: column.versions for name, column in measured.items()})
    return f"Measured: {versions}.\n\n" + "\n".join(lines)


def _versions(found: Mapping[str, Mapping[str, str]]) -> str:
    """Name the versions of the first class, and of the others what differs."""
    first = next(iter(found.values()))
    told = [", ".join(f"{name} {version}" for name, version in first.items())]
    for subject, versions in found.items():
        others = [f"{name} {version}" for name, version in versions.items() if first.get(name) != version]
        if others:
            told.append(f"`{subject}` with {', '.join(others)}")
    return "; ".join(told)


def read(page: str) -> dict[str, dict[str, str]]:
    """Read a written table: class -> row's title -> cell."""
    inside = page.partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip() for line in inside.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    heads = [head.strip("`") for head in table[0][1:]]
    body = [row for row in table[2:] if not row[0].startswith("**")]
    return {head: {row[0]: row[place] for row in body} for place, head in enumerate(heads, start=1)}


def changes(table: Table, subject: str, page: str) -> list[str]:
    """Measure a class and tell what a page says otherwise."""
    written = read(page)[subject]
    measured: dict[str, Cell] = measure(table, subject, rows(table)).cells
    return [
        f"{table.probes[row].title}: written {written.get(table.probes[row].title)!r}, now {cell.verdict!r}\n"
        f"{cell.details}"
        for row, cell in measured.items()
        if written.get(table.probes[row].title) != cell.verdict
    ]


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description="Measure what each class of a framework can do on the same gateway.")
    parser.add_argument("table", choices=TABLES, help="lc for LangChain, li for LlamaIndex")
    parser.add_argument("--into", type=Path, help="the file between whose markers the table is written")
    parser.add_argument("--only", default="", help="only rows with this word in their title or name")
    parser.add_argument("--details", action="store_true", help="tell what stands behind each cell that is no yes")
    parser.add_argument("--python", action="append", default=[], metavar="CLASS=PATH", help="the Python of a class")
    parser.add_argument("classes", nargs="*", help="all unless given")
    given = parser.parse_args()
    table = load(given.table)
    pythons = dict(one.split("=", 1) for one in given.python)
    measured = {
        name: measure(table, name, rows(table, given.only), pythons.get(name, sys.executable))
        for name in given.classes or table.subjects
    }
    if given.details:
        for name, column in measured.items():
            for row, cell in column.cells.items():
                if cell.details:
                    print(f"{name}, {row}: {cell.verdict}\n{cell.details}\n", file=sys.stderr)
    text = render(table, measured)
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
