"""Tokens and cost of the local gateway's own answers."""

from __future__ import annotations

import json
import threading
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.words import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kilocode_gateway.local.chat import Answer

_LEAST_CACHED = 1024
_MOST_REMEMBERED = 10_000


def content_text(content: Any) -> str:
    """Give the text of a message's content: a string, or its text parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


class Meter:
    """Counts, and remembers which beginnings of a conversation it has seen: those are cached.

    As with the real providers, nothing shorter than 1,024 tokens is cached.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, None] = {}

    def usage(self, body: Mapping[str, Any], entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """Count the prompt of a request."""
        messages = body.get("messages")
        tools = body.get("tools")
        before = count_tokens(json.dumps(tools)) if tools else 0
        counts = [_message_tokens(message) for message in messages] if isinstance(messages, list) else []
        usage: dict[str, Any] = {
            "prompt_tokens": before + sum(counts),
            "completion_tokens": 0,
            "total_tokens": before + sum(counts),
            "prompt_tokens_details": {"cached_tokens": self._cached(messages, counts, before), "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        return _priced(usage, entry)

    def _cached(self, messages: Any, counts: Iterable[int], before: int) -> int:
        """Give how many tokens of a conversation's beginning came before, and remember this one."""
        total = before
        cached = 0
        marks = []
        mark = 0
        for message, count in zip(messages or (), counts, strict=False):
            total += count
            mark = hash((mark, json.dumps(message, sort_keys=True, default=str)))
            if total >= _LEAST_CACHED:
                marks.append((mark, total))
        with self._lock:
            for known, upto in marks:
                if known in self._seen:
                    cached = upto
                self._seen[known] = None
            while len(self._seen) > _MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return cached

    def count(self, usage: dict[str, Any], found: Answer, entry: Mapping[str, Any] | None, *, choices: int = 1) -> None:
        """Add an answer to the usage of its request."""
        thought = count_tokens(found.reasoning)
        calls = sum(count_tokens(call["name"]) + count_tokens(str(call["arguments"])) for call in found.tool_calls)
        usage["completion_tokens"] = thought + choices * (count_tokens(found.text or "") + calls)
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        usage["completion_tokens_details"]["reasoning_tokens"] = thought
        usage.update(_priced(usage, entry))


def _message_tokens(message: Any) -> int:
    """Count a message: its text, its calls, and three more for what frames it; a picture or file is 85."""
    if not isinstance(message, dict):
        return 0
    content = message.get("content")
    others = (
        sum(1 for part in content if not (isinstance(part, dict) and "text" in part))
        if isinstance(content, list)
        else 0
    )
    calls = message.get("tool_calls")
    return 3 + count_tokens(content_text(content)) + 85 * others + (count_tokens(json.dumps(calls)) if calls else 0)


def _price(entry: Mapping[str, Any] | None, name: str) -> Decimal | None:
    """Give a price per token, or None when it is unknown: absent, odd or negative."""
    pricing = (entry or {}).get("pricing")
    try:
        price = Decimal(str(pricing[name])) if isinstance(pricing, dict) else None
    except (KeyError, InvalidOperation):
        return None
    return price if price is not None and price.is_finite() and price >= 0 else None


def _priced(usage: dict[str, Any], entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Add the cost in US dollars, where the model's prices are known."""
    prompt, completion = _price(entry, "prompt"), _price(entry, "completion")
    if prompt is None or completion is None:
        return {**usage, "is_byok": False}
    read = _price(entry, "input_cache_read")
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    inputs = (usage["prompt_tokens"] - cached) * prompt + cached * (prompt if read is None else read)
    outputs = usage["completion_tokens"] * completion
    details = {
        "upstream_inference_cost": None,
        "upstream_inference_prompt_cost": float(inputs),
        "upstream_inference_completions_cost": float(outputs),
    }
    return {**usage, "cost": float(inputs + outputs), "is_byok": False, "cost_details": details}
