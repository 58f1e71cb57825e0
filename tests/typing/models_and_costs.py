"""What type checkers make of the core: model names, the catalog, what was spent, errors. Checked and never run."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import assert_type

from kilocode_gateway import (
    Catalog,
    EmbeddingModelInfo,
    EmbeddingModels,
    GatewayConfig,
    KiloCodeError,
    KnownModel,
    ModelInfo,
    RateLimitError,
    UnknownModelError,
    track_usage,
)

known: KnownModel = "kilo/auto"
unknown: KnownModel = "acme/unheard-of"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
either: KnownModel | str = "acme/unheard-of"

catalog = Catalog.discover()
Catalog.discover(api_kay="...")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(catalog.get("kilo/auto"), ModelInfo | None)
assert_type(catalog.get("acme/unheard-of"), ModelInfo | None)
assert_type(catalog.get("acme/unheard-of", 0), ModelInfo | int)
assert_type(catalog[either], ModelInfo)
assert_type(catalog.nearest("kilo/atuo"), list[str])
catalog.get(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
catalog.get("kilo/auto").id  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]

found = catalog.find("claude", tools=True, vision=None, min_context=200_000, sort="price")
assert_type(found, list[ModelInfo])
catalog.find(tool=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
catalog.find(sort="prize")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
catalog.find(min_context="200k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

for info in found:
    assert_type(info.id, str)
    assert_type(info.context_window, int | None)
    assert_type(info.pricing.input, Decimal | None)
    assert_type(info.supports_tools, bool)
    assert_type(info.reasoning_efforts, tuple[str, ...])
    assert_type(info.cost(1000, 10), Decimal | None)
    info.context_windows  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    info.id = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    info.pricing.input * 2  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]

embeddings = EmbeddingModels.discover()
assert_type(embeddings["openai/text-embedding-3-small"], EmbeddingModelInfo)
assert_type(embeddings.get("acme/unheard-of"), EmbeddingModelInfo | None)
embeddings.check("openai/text-embedding-3-small", "256")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

with track_usage(limit_usd="0.50") as used:
    assert_type(used.total.cost, Decimal)
    assert_type(used.total.calls, int)
    assert_type(used.total.calls_without_cost, int)
    used.total.price  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
track_usage(limit=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

GatewayConfig.resolve(api_key="...", base_url="https://example.com")
GatewayConfig.resolve(url="...")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def last_words(ask: Callable[[], object]) -> str:
    """Read what each error tells."""
    try:
        ask()
    except RateLimitError as error:
        assert_type(error.retryable, bool)
        assert_type(error.status, int | None)
        error.retriable  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return error.message
    except UnknownModelError as error:
        return error.message
    except KiloCodeError as error:
        assert_type(error.model, str | None)
        return str(error)
    return ""
