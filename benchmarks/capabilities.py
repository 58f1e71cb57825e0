"""Measure what each class of a framework can do on the same gateway, by the same probes, and write the table.

    python -m benchmarks.capabilities lc                         print the table of LangChain's classes
    python -m benchmarks.capabilities li --into FILE             write that of LlamaIndex's between a file's markers
    python -m benchmarks.capabilities lc --only WORD --details   some rows, and the errors behind them
    python -m benchmarks.capabilities li --python CLASS=PATH     a class in an environment of its own
    python -m benchmarks.capabilities sum --into FILE            count what both tables' pages say, by theme

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
ROOT = Path(__file__).parents[1]
SUM_BEGIN, SUM_END = "<!-- capabilities -->", "<!-- end of capabilities -->"
THEMES: dict[str, tuple[str, ...]] = {
    "images, files, audio, video": ("Content in", "Content out", "Blocks in", "Blocks out"),
    "reasoning": ("Reasoning", "Thinking"),
    "tools and agents": ("Tools", "Tool calls, and how streams write them", "Agents"),
    "structured output": ("Structured output",),
    "what a model can, and long texts": (
        "What it knows of a model, without being told",
        "Long texts (8,000 and 1,000,000 tokens of context)",
    ),
    "tokens, cost, which model answered": ("Usage and origin", "Usage, cost and origin"),
    "errors, each of its kind": (
        "Errors that are a langchain-core `ModelError` with its reason",
        "Errors that are `openai`'s, with their reason",
        "Other errors",
    ),
    "retries and time limits": ("Retries and time",),
    "settings, requests, secrets": (
        "Requests",
        "Settings and secrets",
        "Which setting wins, and what is sent",
        "Dicts, JSON, pickles and the key",
        "The gateway's own settings",
        "Other services' variables (`OPENAI_*` and the like)",
    ),
    "the framework's own ways": (
        "In LangChain",
        "Eight ways to ask (`chat`, `complete`, `stream_*`, `a*`)",
        "Engines",
        "Event loops, copies, clients",
        "Events and callbacks",
    ),
}
"""The groups of both tables, by what a reader looks for."""


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


def groups(page: str) -> dict[str, list[list[str]]]:
    """Read a written table: group -> the cells of its rows, the classes in the order of the table."""
    found: dict[str, list[list[str]]] = {}
    for line in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        title, *cells = [cell.strip() for cell in line.strip("|").split(" |")]
        if line.startswith("| **") and not any(cells):
            rows_of = found.setdefault(title.strip("*"), [])
        elif line.startswith("| ") and found and not title.startswith("**"):
            rows_of.append(cells)
    return found


def total() -> str:
    """Count the plain yes of both written tables by theme, in Markdown."""
    heads, columns = [], []
    for name in TABLES:
        page = (ROOT / "tests" / name / "README.md").read_text(encoding="utf-8")
        heads.append(", ".join(f"`{subject}`" for subject in reversed(read(page))))
        columns.append(_by_theme(groups(page)))
    lines = [f"| rows measured as yes | {' | '.join(heads)} |", "|---|---|---|"]
    lines += [f"| {theme} | {' | '.join(column[theme] for column in columns)} |" for theme in THEMES]
    return "\n".join(lines)


def _by_theme(found: Mapping[str, list[list[str]]]) -> dict[str, str]:
    told = {}
    for theme, names in THEMES.items():
        cells = [row for name in names for row in found.get(name, ())]
        counts = [sum(cell.startswith("yes") for cell in column) for column in zip(*cells, strict=True)]
        told[theme] = f"{', '.join(map(str, reversed(counts)))} of {len(cells)}" if cells else ""
    return told


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
    parser.add_argument("table", choices=(*TABLES, "sum"), help="lc for LangChain, li for LlamaIndex, sum for both")
    parser.add_argument("--into", type=Path, help="the file between whose markers the table is written")
    parser.add_argument("--only", default="", help="only rows with this word in their title or name")
    parser.add_argument("--details", action="store_true", help="tell what stands behind each cell that is no yes")
    parser.add_argument("--python", action="append", default=[], metavar="CLASS=PATH", help="the Python of a class")
    parser.add_argument("classes", nargs="*", help="all unless given")
    given = parser.parse_args()
    if given.table == "sum":
        write(total(), given.into, SUM_BEGIN, SUM_END)
        return
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
    write(render(table, measured), given.into, BEGIN, END)


def write(text: str, into: Path | None, begin: str, end: str) -> None:
    """Print a text, or write it between a file's markers."""
    if into is None:
        print(text)
        return
    page = into.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise SystemExit(f"expected {into} to hold {begin} and {end}")
    before, _, rest = page.partition(begin)
    into.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
