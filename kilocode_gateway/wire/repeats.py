"""Reads the events of a stream of which each says what the one before it said, but for the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilocode_gateway.wire.reply import Delta
from kilocode_gateway.wire.templates import template_of
from kilocode_gateway.wire.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.wire.reply import StreamReader
    from kilocode_gateway.wire.templates import Template

_TRIES = 3
"""How many templates in a row may be made in vain, where no two events of a stream are alike."""
_PAYS = 6
"""How many events a template must have served not to have been made in vain."""


class Repeats:
    """Reads, for a `StreamReader`, the events that bring nothing but the next piece of a text or of reasoning."""

    __slots__ = ("_kind", "_make", "_reader", "_served", "_take", "_template", "_tries")

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._template: Template | None = None
        self._make: Callable[[str], dict[str, Any]]
        self._take: Callable[[str, Any], Delta]
        self._kind = ""
        self._served = 0
        self._tries = _TRIES

    def read(self, event: bytes) -> Delta | None:
        """Give the piece of an event that is like the last one; None where it must be parsed and read as a whole."""
        if self._template is None:
            return None
        text = self._template.text_in(event)
        if not text:
            return None
        self._served += 1
        return self._take(text, (self._make, text))

    def note(self, event: bytes, chunk: dict[str, Any], delta: Delta | None) -> None:
        """Take note of an event that was read as a whole: the second of a kind may be like those that follow."""
        self._template = None
        if self._served >= _PAYS:
            self._tries = _TRIES
        self._served = 0
        if not self._tries:
            return
        before = self._kind
        self._kind, text, places = self._told(chunk, delta)
        if not text or self._kind != before:
            return
        self._tries -= 1
        template = template_of(event, chunk, text, places)
        if template is not None:
            self._template, self._make = template, template.chunk
            self._take = self._reader.more_text if self._kind == "text" else self._reader.more_reasoning

    def _told(self, chunk: dict[str, Any], delta: Delta | None) -> tuple[str, str, int]:
        """Give what kind of piece came last, its text, and in how many places of the chunk that stands."""
        choice = as_dict(chunk["choices"][0]) if delta is not None else {}
        if delta is None or choice.get("index"):
            return "", "", 0
        sent = as_dict(choice.get("delta"))
        if delta == Delta(text=delta.text, raw=chunk):
            return "text", delta.text if sent.get("content") == delta.text else "", 1
        if delta == Delta("", delta.reasoning, delta.reasoning_details, [], [], [], raw=chunk):
            return "reasoning", *self._reader.reasoning.rehearse(sent)
        return "", "", 0
