"""`models`: the models that the gateway offers, filtered and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.commands.terminal import FAILED, OK, did_you_mean, plain, say, table, write_json
from kilocode_gateway.models import amount_text

if TYPE_CHECKING:
    import argparse
    from decimal import Decimal

    from kilocode_gateway.models import ModelInfo

_HEADINGS = ("model", "context", "USD/M in", "USD/M out", "can")


def run(arguments: argparse.Namespace) -> int:
    """List the models that meet every condition."""
    catalog = Catalog.discover(refresh=arguments.refresh)
    found = catalog.find(
        text=" ".join(arguments.words) or None,
        free=arguments.free,
        vision=arguments.vision,
        tools=arguments.tools,
        reasoning=arguments.reasoning,
        min_context=arguments.min_context,
        sort=arguments.sort,
    )
    if arguments.json:
        write_json([info.to_dict() for info in found])
        return OK
    if not found:
        near = catalog.nearest(" ".join(arguments.words)) if arguments.words else []
        say(f"None of the {len(catalog)} models fits.{did_you_mean(near)}")
        return FAILED
    for line in table([_HEADINGS, *map(_cells, found)], left=(0, 4)):
        print(line)
    say(f"{len(found)} of {len(catalog)} models, from {catalog.source}")
    return OK


def _cells(info: ModelInfo) -> tuple[str, str, str, str, str]:
    able = {"tools": info.supports_tools, "images": info.supports_vision, "reasoning": info.supports_reasoning}
    return (
        plain(info.id),
        "?" if info.context_window is None else f"{info.context_window:,}",
        price(info.pricing.input, is_free=info.is_free),
        price(info.pricing.output, is_free=info.is_free),
        " ".join(word for word in able if able[word]),
    )


def price(value: Decimal | None, *, is_free: bool = False) -> str:
    """Write what a million tokens cost."""
    if is_free:
        return "free"
    return "varies" if value is None else amount_text(value)
