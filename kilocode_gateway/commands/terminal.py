"""How the commands write: lines that fit the terminal, and texts that do not steer it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

OK, FAILED = 0, 1
"""Exit codes. The parser adds 2 for wrong arguments, and `main` 130 for ^C."""

_ENDLESS = 1_000_000
_LEAST_FIRST = 32
"""Columns that the first cell of a table keeps while others can be left out: it is the name, which gets copied."""
_LEAST_TEXT = 20
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Every control character but tab and line feed."""


def say(text: str) -> None:
    """Write a line to standard error, in which nothing steers the terminal."""
    sys.stderr.write(f"{steady(text)}\n")
    sys.stderr.flush()


def write_json(value: Any) -> None:
    """Write a value as JSON, escaped, so that it is the same and whole in every encoding."""
    print(json.dumps(value, indent=2))


def steady(text: str) -> str:
    """Give a text of several lines in which nothing steers the terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def plain(text: str) -> str:
    """Give a text of one line in which nothing steers the terminal or breaks the line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def did_you_mean(names: Sequence[str]) -> str:
    """Ask whether one of these was meant; empty where there is none."""
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def columns() -> int:
    """Give how wide a line may be: what goes to a file or to another program is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _ENDLESS


def table(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), width: int | None = None) -> list[str]:
    """Lay rows out in lines that fit: a long first column is shortened, then the last columns are left out.

    Args:
        rows: The cells of each row, the headings first.
        left: The columns that are aligned left.
        width: How wide a line may be; as wide as the terminal unless given.

    """
    width = columns() if width is None else width
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = len(widths)
    least = min(widths[0], _LEAST_FIRST)
    while shown > 1 and least + sum(2 + cell for cell in widths[1:shown]) > width:
        shown -= 1
    widths[0] = max(1, min(widths[0], width - sum(2 + cell for cell in widths[1:shown])))
    lines = []
    for first, *others in rows:
        name = first if len(first) <= widths[0] else first[: widths[0] - 1] + "…"
        cells = zip(range(shown), (name, *others), widths, strict=False)
        padded = [f"{text:<{room}}" if at in left else f"{text:>{room}}" for at, text, room in cells]
        lines.append("  ".join(padded).rstrip())
    return lines


def facts(pairs: Sequence[tuple[str, str]], *, width: int | None = None) -> list[str]:
    """Lay names and texts out in two columns; a long text goes on below itself.

    Args:
        pairs: Each fact's name and text.
        width: How wide a line may be; as wide as the terminal unless given.

    """
    width = columns() if width is None else width
    margin = max(len(name) for name, _ in pairs) + 2
    lines = []
    for name, text in pairs:
        wrapped = textwrap.wrap(text, max(_LEAST_TEXT, width - margin), break_on_hyphens=False) or [""]
        lines.append(f"{name:<{margin}}{wrapped[0]}")
        lines += [" " * margin + rest for rest in wrapped[1:]]
    return lines


def size(count: int) -> str:
    """Write a number of bytes for people."""
    for unit, scale in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def span(seconds: float) -> str:
    """Write a length of time for people."""
    for unit, scale in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
