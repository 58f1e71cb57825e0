"""Reads single values of the wire, which may be missing or of any type, and the usage that is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

_MOST = 10**18
"""What nothing here counts up to: Python could not write sums of far larger numbers."""
_MOST_USD = 10**9
"""What no answer costs: a larger number is none, and would not fit into sums."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer used, as the gateway counts it."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_tokens: int | None = None
    """Part of the input that came from the provider's cache. None when it was not told."""
    cache_write_tokens: int | None = None
    """Part of the input that was put into the provider's cache."""
    reasoning_tokens: int | None = None
    """Part of the output that was reasoning."""
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    cost: Decimal | None = None
    """USD; None when the gateway does not tell, as for some free models."""
    is_byok: bool | None = None
    """Whether the user's own provider key paid. `cost` is then small, and `cost_details` holds the provider's."""
    cost_details: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The usage as it came."""

    @classmethod
    def read(cls, usage: object, gateway_cost: object = None) -> Usage | None:
        """Read the `usage` of a reply, with any of its fields missing; None when there is none."""
        if not isinstance(usage, dict) or not usage:
            return None
        prompt, completion = (
            as_dict(usage.get("prompt_tokens_details")),
            as_dict(usage.get("completion_tokens_details")),
        )
        input_tokens, output_tokens = (
            as_int(usage.get("prompt_tokens")) or 0,
            as_int(usage.get("completion_tokens")) or 0,
        )
        total = as_int(usage.get("total_tokens"))
        byok = usage.get("is_byok")
        return cls(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens if total is None else total,
            cache_read_tokens=as_int(prompt.get("cached_tokens")),
            cache_write_tokens=as_int(prompt.get("cache_write_tokens")),
            reasoning_tokens=as_int(completion.get("reasoning_tokens")),
            audio_input_tokens=as_int(prompt.get("audio_tokens")),
            audio_output_tokens=as_int(completion.get("audio_tokens")),
            cost=as_money(usage.get("cost", gateway_cost)),
            is_byok=byok if isinstance(byok, bool) else None,
            cost_details=as_dict(usage.get("cost_details")),
            raw=usage,
        )


def as_dict(value: object) -> dict[str, Any]:
    """Give an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_dicts(value: object) -> list[dict[str, Any]]:
    """Give the objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_str(value: object) -> str:
    """Give a text, or an empty one."""
    return value if isinstance(value, str) else ""


def as_int(value: object) -> int | None:
    """Give a whole number; None for anything else."""
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST else None


def as_money(value: object) -> Decimal | None:
    """Give an amount of USD, exactly as it was written; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD else None
