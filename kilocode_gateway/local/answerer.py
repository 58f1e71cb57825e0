"""Finds an answer by rule: it is no model."""

from __future__ import annotations

from typing import Any

from kilocode_gateway.local.chat import Answer


def answer(body: dict[str, Any], *, supports: frozenset[str]) -> Answer:
    return Answer("This is the local gateway, which answers by rule.")
