"""Adds up tokens and cost over everything that talks to the gateway, in both frameworks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Protocol

from kilocode_gateway.errors import BudgetExceededError, ConfigurationError, KiloCodeError

if TYPE_CHECKING:
    from collections.abc import Iterator


class CountedUsage(Protocol):
    """What is read of an answer's usage."""

    @property
    def input_tokens(self) -> int: ...  # noqa: D102
    @property
    def output_tokens(self) -> int: ...  # noqa: D102
    @property
    def total_tokens(self) -> int: ...  # noqa: D102
    @property
    def cache_read_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def cache_write_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def reasoning_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def cost(self) -> Decimal | None: ...  # noqa: D102


@dataclass(slots=True)
class Spent:
    """What some calls used together."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    """USD, over the calls whose cost the gateway told."""
    calls_without_cost: int = 0
    """Calls whose cost the gateway did not tell."""

    def add(self, usage: CountedUsage | None) -> None:
        """Count one answer; None when the gateway told nothing of its usage."""
        self.calls += 1
        if usage is None or usage.cost is None:
            self.calls_without_cost += 1
        if usage is None:
            return
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.total_tokens += usage.total_tokens
        self.cache_read_tokens += usage.cache_read_tokens or 0
        self.cache_write_tokens += usage.cache_write_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0
        self.cost += usage.cost or 0

    def __str__(self) -> str:
        calls = f"{self.calls:,} call{'' if self.calls == 1 else 's'}"
        unknown = f" ({self.calls_without_cost:,} of unknown cost)" if self.calls_without_cost else ""
        return (
            f"{calls}{unknown}, {self.input_tokens:,} tokens in, {self.output_tokens:,} tokens out, {self.cost:.6f} USD"
        )


@dataclass(slots=True)
class UsageTracker:
    """What the calls inside a `track_usage` block have used so far."""

    limit_usd: Decimal | None = None
    """The cost from which on the next call is refused; inside the block it can be raised, or set to None."""
    total: Spent = field(default_factory=Spent)
    """What all calls used together."""
    by_model: dict[str, Spent] = field(default_factory=dict)
    """The same, for each model that answered."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, model: str, usage: CountedUsage | None) -> None:
        """Count one answer of a model."""
        with self._lock:
            self.total.add(usage)
            self.by_model.setdefault(model, Spent()).add(usage)

    def __str__(self) -> str:
        lines = [f"{model}: {spent}" for model, spent in sorted(self.by_model.items())]
        return "\n".join([*lines, f"total: {self.total}"] if len(lines) > 1 else lines or [f"total: {self.total}"])


_trackers: ContextVar[tuple[UsageTracker, ...] | None] = ContextVar("kilocode_usage_trackers", default=None)
_open: list[UsageTracker] = []
_open_lock = threading.Lock()


@contextlib.contextmanager
def track_usage(limit_usd: Decimal | float | str | None = None) -> Iterator[UsageTracker]:
    """Add up tokens and cost of every call inside the block, in LangChain, LlamaIndex and the core alike.

    Tasks and threads that the block starts count as well, and blocks may stand inside one another. A thread that was
    started without a copy of its starter's context counts for every block that is open. A stream counts in the
    block in which it was asked for, when it ends.

    Args:
        limit_usd: Refuse the next call with `BudgetExceededError` once this much was spent. A running call is never
            cut, so the last one may pass the limit. Calls whose cost nobody tells count as nothing: those of some free
            models, and streams that were left before their end. `calls_without_cost` says how many there were.

    Raises:
        ConfigurationError: If the limit is no amount of money.

    """
    tracker = UsageTracker(limit_usd=None if limit_usd is None else _amount(limit_usd))
    _trackers.set((*(_trackers.get() or ()), tracker))
    with _open_lock:
        _open.append(tracker)
    try:
        yield tracker
    finally:
        with _open_lock:
            _open.remove(tracker)
        # Generators that hold blocks open may be closed in any order, and in another context than they were begun in.
        _trackers.set(tuple(other for other in _trackers.get() or () if other is not tracker) or None)


def _amount(limit: Decimal | float | str) -> Decimal:
    try:
        amount = Decimal(str(limit))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        msg = f"limit_usd must be an amount of US dollars from 0, got {limit!r}."
        raise ConfigurationError(msg)
    return amount


def active() -> tuple[UsageTracker, ...]:
    """Give the blocks that are open here."""
    trackers = _trackers.get()
    if trackers is not None:
        return trackers
    # A task always has its starter's context, so where it has no block, none is meant. A thread may have lost it.
    return () if asyncio._get_running_loop() is not None else tuple(_open)  # noqa: SLF001 - the form that raises nothing


@contextlib.contextmanager
def counting_in(trackers: tuple[UsageTracker, ...]) -> Iterator[None]:
    """Begin a request for the blocks that were open when it was asked for, where that was earlier or elsewhere."""
    token = _trackers.set(trackers)
    try:
        yield
    finally:
        _trackers.reset(token)


def record(model: str, usage: CountedUsage | None, trackers: tuple[UsageTracker, ...] | None = None) -> None:
    """Count one answer for every block that is open here, or for those that were when it was asked for."""
    for tracker in active() if trackers is None else trackers:
        tracker.add(model, usage)


def check_budget(error_class: type[KiloCodeError] = BudgetExceededError) -> None:
    """Refuse a call when an open block's limit is reached.

    Raises:
        BudgetExceededError: With what was spent.

    """
    for tracker in active():
        limit = tracker.limit_usd
        if limit is not None and tracker.total.cost >= limit:
            msg = (
                f"The budget of {limit} USD is used up: {tracker.total}. Nothing was sent. "
                "Raise limit_usd in track_usage, or choose a cheaper model."
            )
            raise error_class(msg, spent_usd=tracker.total.cost, limit_usd=limit)
