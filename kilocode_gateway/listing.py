"""Reads the gateway's answer of `/models`, entry by entry: one that is malformed never spoils the others."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from kilocode_gateway.models import check_entry

_START = re.compile(r'\s*\{\s*"data"\s*:\s*\[\s*')
_COMMA = re.compile(r"\s*,\s*")
_END = re.compile(r"\s*\]\s*\}\s*")
_read_one = json.JSONDecoder().raw_decode


@dataclass(slots=True)
class Listing:
    """An answer of `/models`, checked but not kept in memory as objects: the lines are read again when asked for."""

    lines: dict[str, str] = field(default_factory=dict)
    """For each id its entry, as one line of JSON as it came."""
    skipped: int = 0
    """How many entries were malformed."""

    def add(self, entry: object, line: str) -> None:
        """Keep an entry; of two with one id the first."""
        id_ = check_entry(entry)
        if id_ is None:
            self.skipped += 1
        else:
            self.lines.setdefault(id_, line)


def read_listing(body: bytes) -> Listing:
    """Read an answer of `/models`: the first of two entries with one id wins, malformed ones are counted.

    Raises:
        ValueError: If it is no list of models, or none of them can be read; the text completes "... not a model list:".

    """
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    try:
        listing = _one_by_one(text) or _all_at_once(text)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    if not listing.lines:
        msg = f"none of its {listing.skipped} entries can be read" if listing.skipped else "it is empty"
        raise ValueError(msg)
    return listing


def _one_by_one(text: str) -> Listing | None:
    """Read the entries one after the other, each gone before the next, which spares most of the memory and time.

    The lines are cut out of the text, since to write them anew costs more than to read them. None when the text is not
    of the gateway's shape: an object with nothing but `data`.
    """
    start = _START.match(text)
    if start is None:
        return None
    listing = Listing()
    broken = "\n" in text
    at = start.end()
    try:
        while True:
            entry, end = _read_one(text, at)
            line = text[at:end]
            # Inside a string a line break is always escaped, so this one only lays the entry out.
            listing.add(entry, line.replace("\n", " ") if broken else line)
            comma = _COMMA.match(text, end)
            if comma is None:
                return listing if _END.fullmatch(text, end) else None
            at = comma.end()
    except ValueError:
        return None


def _all_at_once(text: str) -> Listing:
    try:
        payload: Any = json.loads(text)
    except json.JSONDecodeError:
        msg = "it is not JSON"
        raise ValueError(msg) from None
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, list):
        msg = "it has no list of models" + _error_in(payload)
        raise ValueError(msg)  # noqa: TRY004 - the answer is wrong, not an argument
    listing = Listing()
    for entry in data:
        listing.add(entry, json.dumps(entry))
    return listing


def _error_in(payload: object) -> str:
    """Give what a gateway says that answers 200 with an error."""
    error = payload.get("error") if isinstance(payload, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f", but an error: {message.strip()[:200]}" if isinstance(message, str) and message.strip() else ""
