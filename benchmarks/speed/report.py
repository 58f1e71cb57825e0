"""Writes what was measured: the table of goals, the table beside the peers, and the short one that the README shows."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from benchmarks.speed.goals import GOALS, LANGCHAIN_PEERS, LLAMA_INDEX_PEERS, SHOWN, bare_client

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.speed.goals import Goal, Measured

Result = dict[str, dict[str, float]]
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
_SHORT = {
    "a chunk of text, sync": "a chunk of a stream, many at once",
    "a chunk of text, async": "the same, async",
    "a chunk of text that arrives by itself": "a chunk of a stream that arrives by itself",
    "the same, async": "the same, async",
    "a chunk of text after 1,000 messages": "a chunk of a stream after 1,000 messages",
    "a small request": "a small request",
    "a request with 1,000 messages": "a request with 1,000 messages",
}


def goals(results: list[Result]) -> str:
    """Give the table of goals, with the figures of each run."""
    lines = ["| work | goal | figure | in each run | verdict |", "|---|---|---|---|---|"]
    for goal in GOALS:
        values = [goal.value(result) for result in results]
        verdict = "reached" if goal.is_reached(values) else "**missed**"
        each = ", ".join(_number(value) for value in values)
        middle = f"{_number(statistics.median(values))}{goal.unit}"
        lines.append(f"| {goal.title} | {goal.way} {_number(goal.limit)}{goal.unit} | {middle} | {each} | {verdict} |")
    return "\n".join(lines) + "\n"


def missed(results: list[Result]) -> list[Goal]:
    """Give the goals that were not reached."""
    return [goal for goal in GOALS if not goal.is_reached([goal.value(result) for result in results])]


def peers(results: list[Result]) -> str:
    """Give two tables, one for each framework: CPU as a share of what the bare openai client takes."""
    return "\n".join(_peers(results, columns) for columns in (LANGCHAIN_PEERS, LLAMA_INDEX_PEERS))


def _peers(results: list[Result], columns: tuple[str, ...]) -> str:
    names = [name.removesuffix(" in LlamaIndex") for name in columns]
    lines = [f"| CPU, share of {bare_client(columns[0])} | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {work.title} | " + " | ".join(_share(results, work, name) for name in columns) + " |" for work in SHOWN
    ]
    return "\n".join(lines) + "\n"


def _share(results: list[Result], work: Measured, subject: str, beside: str = "") -> str:
    beside = beside or bare_client(subject)
    if work.key(subject) not in results[0]:
        return ""
    values = [result[work.key(subject)]["cpu"] / result[work.key(beside)]["cpu"] for result in results]
    return _number(statistics.median(values))


def short(results: list[Result]) -> str:
    """Give the README's table."""
    head = "| CPU, share | ChatKiloCode of ChatOpenAI | of openai 3 | KiloCode of OpenAILike | of openai 2 |"
    lines = [head, "|---|---|---|---|---|"]
    for work in SHOWN:
        if work.title in _SHORT:
            pairs = (
                ("ChatKiloCode", "ChatOpenAI"),
                ("ChatKiloCode", "openai"),
                ("KiloCode", "OpenAILike"),
                ("KiloCode", "openai 2"),
            )
            shares = [_share(results, work, ours, peer) for ours, peer in pairs]
            lines.append(f"| {_SHORT[work.title]} | " + " | ".join(shares) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value >= 100:  # noqa: PLR2004 - no digits behind the point for large ones
        return f"{value:,.0f}"
    return f"{value:.3g}"


_PAGE = """# Speed

Made by `make bench` on {date}: {machine}, Python {python}, {runs} runs, each with the subjects in turn and medians of
the turns; the slow peers, whom no goal names, have fewer turns. Of times only ratios mean anything. A server in a
process of its own sends bytes that were made before, each event in an HTTP chunk of its own, as servers frame them. A
stream goes out in one write, so that nobody waits, but where the table says that each piece arrives by itself. CPU is
that of the subject's whole process.

## Goals

{reached} of {all} are reached. A goal that a figure misses by less than 5 % is reached when the median of the runs
reaches it.

{goals}
## Beside the peers

{peers}
Adding up 4,000 pieces of a tool's arguments one by one takes {sum} of ChatOpenAI's CPU where many of them stand in each
HTTP chunk, as they are merged then. Where each has an HTTP chunk of its own, or arrives by itself, it takes
{sum_alone}: nothing can be merged without waiting, and the sum is langchain-core's own work, which grows with the
square of the pieces.

## Versions

| subject | packages |
|---|---|
{versions}
"""


def page(results: list[Result], about: dict[str, Any]) -> str:
    """Give the whole page.

    Args:
        results: What each run measured.
        about: The `date`, `machine`, `python` and the `versions` of each subject's packages.

    """
    versions: dict[str, dict[str, str]] = about["versions"]
    return _PAGE.format(
        date=about["date"],
        machine=about["machine"],
        python=about["python"],
        runs=len(results),
        reached=len(GOALS) - len(missed(results)),
        all=len(GOALS),
        goals=goals(results),
        peers=peers(results),
        sum=_sum(results, "-joined"),
        sum_alone=_sum(results, ""),
        versions="\n".join(
            f"| {name} | " + ", ".join(f"{package} {version}" for package, version in told.items()) + " |"
            for name, told in versions.items()
        ),
    )


def _sum(results: list[Result], framed: str) -> str:
    keys = [f"{name}: total(answer=tools-4000{framed})" for name in ("ChatKiloCode", "ChatOpenAI")]
    return _number(statistics.median(result[keys[0]]["cpu"] / result[keys[1]]["cpu"] for result in results))


def put(table: str, path: Path) -> None:
    """Put a table between the marks in a file.

    Raises:
        ValueError: If the marks are not there.

    """
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        msg = f"Expected {BEGIN} and {END} in {path}."
        raise ValueError(msg)
    path.write_text(f"{head}{BEGIN}\n{table}{END}{tail}", encoding="utf-8")
