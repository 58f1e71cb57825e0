"""`show`: everything that is known of one model."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.commands.models import price
from kilocode_gateway.commands.terminal import FAILED, OK, did_you_mean, facts, plain, say, steady, table, write_json
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.endpoints import ask_endpoints
from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.models import ABILITIES, amount_text

if TYPE_CHECKING:
    import argparse
    from decimal import Decimal

    from kilocode_gateway.endpoints import Endpoint
    from kilocode_gateway.models import ModelInfo, Pricing

_HEADINGS = ("provider", "context", "max output", "USD/M in", "USD/M out", "up", "quantization")
_OTHER_PRICES = {
    "cache_read": "per million read from the cache",
    "cache_write": "per million put into the cache",
    "reasoning": "per million of reasoning",
    "image": "per image",
    "request": "per request",
    "web_search": "per web search",
}


def run(arguments: argparse.Namespace) -> int:
    """Tell everything that is known of a model, and who serves it."""
    config = GatewayConfig.resolve()
    catalog = Catalog.discover(config=config, refresh=arguments.refresh)
    if arguments.model not in catalog and catalog.source == "cache":
        # It may be newer than the list on disk.
        catalog = Catalog.discover(config=config, refresh=True)
    info = catalog.get(arguments.model)
    if info is None:
        hint = did_you_mean(catalog.nearest(arguments.model))
        advice = "`python -m kilocode_gateway models` lists the exact ids."
        say(f"error: None of the {len(catalog)} models is called {arguments.model!r}.{hint} {advice}")
        return FAILED
    endpoints, told = _endpoints(config, info)
    if arguments.json:
        served = None if endpoints is None else [endpoint.to_dict() for endpoint in endpoints]
        write_json({**info.to_dict(), "routed_models": list(info.routed_models), "endpoints": served})
        return OK
    lines = [plain(info.id), "", *facts(_facts(info))]
    if endpoints:
        lines += ["", *table([_HEADINGS, *map(_cells, endpoints)], left=(0, 6))]
    print(steady("\n".join(lines)))
    say(f"from {catalog.source}{told}")
    return OK


def _endpoints(config: GatewayConfig, info: ModelInfo) -> tuple[list[Endpoint] | None, str]:
    """Give who serves a model, and what to say of that at the end."""
    try:
        # Under the name that the gateway itself lists: `kilo/auto` may be known by its newer one.
        endpoints = ask_endpoints(config, str(info.raw.get("id", info.id)).strip())
    except KiloCodeError as exc:
        say(f"warning: Who serves the model could not be found out. {exc}")
        return None, ""
    if endpoints is None:
        return None, "; the gateway does not tell who serves it"
    return endpoints, f"; {len(endpoints)} provider{'' if len(endpoints) == 1 else 's'}"


def _facts(info: ModelInfo) -> list[tuple[str, str]]:
    able = [name.removeprefix("supports_").replace("_", " ") for name in ABILITIES if getattr(info, name)]
    train = {True: "may be used for training", False: "are not used for training"}
    listed = [
        ("name", info.name),
        ("context", _tokens(info.context_window)),
        ("max output", _tokens(info.max_output_tokens)),
        ("takes", ", ".join(info.input_modalities)),
        ("gives", ", ".join(info.output_modalities)),
        ("supports", ", ".join(able)),
        ("efforts", ", ".join(info.reasoning_efforts)),
        ("price", _prices(info)),
        ("prompts", train[info.may_train_on_prompts] if info.may_train_on_prompts is not None else ""),
        ("chooses among", ", ".join(info.routed_models)),
        ("parameters", ", ".join(sorted(info.supported_parameters))),
        ("added", _day(info.created)),
        ("retired on", info.expires or ""),
        ("recommended", "" if info.preferred_index is None else f"number {info.preferred_index + 1} of Kilo's list"),
        ("about", info.description),
    ]
    return [(name, text) for name, text in listed if text]


def _tokens(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,} tokens"


def _day(seconds: int | None) -> str:
    try:
        return "" if seconds is None else f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return ""


def _prices(info: ModelInfo) -> str:
    pricing = info.pricing
    others = [f"{amount_text(value)} {name}" for name, value in _others(pricing)]
    if info.is_free:
        return "free"
    if pricing.input is None and pricing.output is None:
        return "; ".join(["varies", *others])
    both = f"{price(pricing.input)} in, {price(pricing.output)} out per million tokens"
    return f"USD {'; '.join([both, *others])}"


def _others(pricing: Pricing) -> list[tuple[str, Decimal]]:
    told = ((name, getattr(pricing, field)) for field, name in _OTHER_PRICES.items())
    return [(name, value) for name, value in told if value]


def _cells(endpoint: Endpoint) -> tuple[str, ...]:
    counts = (endpoint.context_window, endpoint.max_output_tokens)
    return (
        plain(endpoint.provider),
        *("?" if count is None else f"{count:,}" for count in counts),
        price(endpoint.pricing.input),
        price(endpoint.pricing.output),
        "?" if endpoint.uptime is None else f"{endpoint.uptime:.4g} %",
        plain(endpoint.quantization or ""),
    )
