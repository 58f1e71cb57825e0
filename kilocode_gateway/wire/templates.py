"""Knows the events of a stream that are alike but for a text, so that not each must be parsed as a whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_DECODER = json.JSONDecoder()
_MOST_CONTAINERS = 40
"""Objects and lists in an event that may be a template: they are copied one by one, and recursively."""

_Node = tuple[Any, "Sequence[tuple[Any, _Node | None]]"]
"""An object or a list, and what in it is not copied as it is: the places of the text (None), and inner nodes."""


class Template:
    """An event in which one text can be replaced by any other.

    Args:
        parts: The bytes of the event around each place of the text, up to the quotes of its JSON string.
        chunk: The object.
        text: The text.

    """

    __slots__ = ("_parts", "_places", "_size", "_start", "_tree")

    def __init__(self, parts: list[bytes], chunk: dict[str, Any], text: str) -> None:
        self._parts = parts
        self._start = len(parts[0])
        self._size = sum(map(len, parts))
        self._places = len(parts) - 1
        self._tree = _node(chunk, text)

    def text_in(self, event: bytes) -> str | None:
        """Give the text of an event that is this one but for the text; None where anything else differs."""
        size = (len(event) - self._size) // self._places
        inside = event[self._start : self._start + size]
        if inside.join(self._parts) != event:
            return None
        try:
            written = inside.decode()
            if written.isprintable() and '"' not in written and "\\" not in written:
                return written
            text, end = _DECODER.raw_decode(f'"{written}"')
        except ValueError:
            return None
        return text if end == len(written) + 2 else None

    def chunk(self, text: str) -> dict[str, Any]:
        """Give the event's object with that text, as a copy down to the last list."""
        copied: dict[str, Any] = _copy(self._tree, text)
        return copied


def template_of(event: bytes, chunk: dict[str, Any], text: str, places: int) -> Template | None:
    """Make a template of an event; None where it cannot be proved that nothing but the text would change.

    Args:
        event: The event, one line with a JSON object.
        chunk: The object.
        text: What changes from event to event.
        places: In how many places of the object it stands.

    """
    if event.count(b"{") + event.count(b"[") > _MOST_CONTAINERS:
        return None
    # Anything else that ends so would do: without its quotes it is no JSON.
    other = text + "x"
    for ascii_only in (False, True):
        try:
            literal, others = (json.dumps(one, ensure_ascii=ascii_only).encode() for one in (text, other))
            parts = event.replace(literal, b'"\n"').split(b"\n")
            changed = others[1:-1].join(parts)
            if len(parts) != places + 1:
                continue
            # Of an object of its own: whoever was given the event's may change that.
            found = Template(parts, json.loads(changed[changed.find(b"{") :].decode()), other)
            if found.chunk(text) == chunk:
                return found
        except ValueError:
            continue
    return None


def _node(holder: Any, text: str) -> _Node:
    inner: list[tuple[Any, _Node | None]] = []
    for place, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        if isinstance(value, dict | list):
            inner.append((place, _node(value, text)))
        elif value == text:
            inner.append((place, None))
    return holder, inner


def _copy(node: _Node, text: str) -> Any:
    holder, inner = node
    copied = holder.copy()
    for place, found in inner:
        copied[place] = text if found is None else _copy(found, text)
    return copied
