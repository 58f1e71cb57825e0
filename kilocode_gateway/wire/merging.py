"""Puts pieces of tool calls that arrived together into one piece, as some hundreds of them cost frameworks a lot."""

from __future__ import annotations

from typing import Any

from kilocode_gateway.wire.reply import Delta
from kilocode_gateway.wire.tool_calls import joined


def merged(deltas: list[Delta]) -> list[Delta]:
    """Give the deltas, with those in a row as one whose chunks are alike but for their tool calls.

    What brings anything else stays as it is. A merged delta's `raw` is one such chunk, with the pieces of all.
    """
    if not any(delta.tool_calls for delta in deltas):
        return deltas
    found: list[Delta] = []
    alike: list[Delta] = []
    frame: dict[str, Any] | None = None
    for delta in deltas:
        around = _without_calls(delta)
        if around is None or around != frame:
            found += _as_one(alike)
            alike = []
        alike.append(delta)
        frame = around
    return found + _as_one(alike)


def _without_calls(delta: Delta) -> dict[str, Any] | None:
    """Give a delta's chunk without its tool calls; None if it brings anything else, or has them in another form."""
    if not delta.tool_calls or delta != Delta("", "", [], delta.tool_calls, [], [], raw=delta.raw):
        return None
    choices = delta.raw["choices"]
    sent = choices[0].get("delta") if len(choices) == 1 else None
    if not isinstance(sent, dict) or not sent.get("tool_calls"):
        return None
    return {**delta.raw, "choices": [{**choices[0], "delta": {**sent, "tool_calls": []}}]}


def _as_one(alike: list[Delta]) -> list[Delta]:
    if len(alike) <= 1:
        return alike
    frame = _without_calls(alike[-1]) or {}
    for delta in alike:
        frame["choices"][0]["delta"]["tool_calls"] += delta.raw["choices"][0]["delta"]["tool_calls"]
    return [Delta("", "", [], joined(piece for delta in alike for piece in delta.tool_calls), [], [], raw=frame)]
