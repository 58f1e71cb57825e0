"""Shows and orders models: names that look alike, the orders of a list, a table for notebooks."""

from __future__ import annotations

import heapq
import html
from typing import TYPE_CHECKING, Any, Literal

from kilocode_gateway.models import decimal_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from kilocode_gateway.models import ModelInfo

Order = Literal["price", "context", "name"]

_ALIKE = 0.6
_COMPARED = 50
_HEADINGS = ("id", "context", "USD/M in", "USD/M out", "tools", "images", "reasoning")


def nearest(wanted: str, ids: Iterable[str], n: int) -> list[str]:
    """Give the ids that look most like a name, best first; a missing vendor or other case does no harm.

    Where none does, the first ids that hold all its words: `claude` is too short to look like any model of that name.
    """
    from difflib import SequenceMatcher

    name = wanted.strip().lower()
    tail = name.rpartition("/")[2]

    def alike(target: str, text: str) -> float:
        return SequenceMatcher(None, text, target).ratio()

    def score(id_: str) -> tuple[float, float]:
        lower = id_.lower()
        whole, last = alike(name, lower), alike(tail, lower.rpartition("/")[2])
        # Of two that are alike in the last part, the one that is alike as a whole.
        return (max(whole, last), whole)

    # Comparing all of a long list in earnest would hold an event loop up for a quarter of a second.
    pairs, others = _pairs(tail), [id_ for id_ in ids if id_ != wanted]
    likely = heapq.nlargest(_COMPARED, others, key=lambda id_: _overlap(pairs, id_))
    scores = {id_: score(id_) for id_ in likely}
    close = [id_ for id_ in sorted(likely, key=scores.__getitem__, reverse=True) if scores[id_][0] >= _ALIKE]
    if not close and len(name) > 1:
        close = [id_ for id_ in others if all(word in id_.lower() for word in name.split())]
    return close[:n]


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(len(text) - 1)}


def _overlap(pairs: set[str], id_: str) -> float:
    others = _pairs(id_.lower().rpartition("/")[2])
    return len(pairs & others) / (len(pairs) + len(others) or 1)


def _by_price(info: ModelInfo) -> tuple[bool, Any, str]:
    price = info.pricing
    if price.input is None or price.output is None:
        return (True, 0, info.id)
    return (False, price.input + price.output, info.id)


ORDERS: dict[Order, Callable[[ModelInfo], Any]] = {
    "price": _by_price,
    "context": lambda info: (-(info.context_window or 0), info.id),
    "name": lambda info: info.id.lower(),
}
"""Sort keys: cheapest first and unknown last, largest context first, by id."""


def to_html(models: Iterable[ModelInfo], more: int, caption: str) -> str:
    """Give a table of models, every text escaped.

    Args:
        models: The rows.
        more: How many are left out below them.
        caption: A line of text above.

    """
    head = "".join(f"<th>{name}</th>" for name in _HEADINGS)
    rows = "".join(_row(info) for info in models)
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    top = f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{rows}</tbody></table>{rest}"


def _row(info: ModelInfo) -> str:
    abilities = (info.supports_tools, info.supports_vision, info.supports_reasoning)
    cells = [
        info.id,
        "?" if info.context_window is None else f"{info.context_window:,}",
        _price(info.pricing.input),
        _price(info.pricing.output),
        *("yes" if able else "" for able in abilities),
    ]
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _price(price: Decimal | None) -> str:
    return "?" if price is None else decimal_text(price)
