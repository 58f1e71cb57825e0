"""Reads the gateway's answer of `/models`, entry by entry: one that is malformed never spoils the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of `/models`, read entry by entry."""

    entries: dict[str, Mapping[str, Any]]
    lines: dict[str, str]
    """Each entry as one line of JSON, as it came."""
    skipped: int


def read_listing(body: bytes) -> Listing:
    """Read an answer of `/models`: the first of two entries with one id wins, malformed ones are counted.

    Raises:
        ValueError: If it is no list of models, or none of them can be read.

    """
    text = body.decode()
    payload = json.loads(text)
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, list):
        msg = "it has no list of models"
        raise ValueError(msg)  # noqa: TRY004 - the answer is wrong, not an argument
    texts = _texts_of(text, data) or [json.dumps(entry, ensure_ascii=False) for entry in data]
    entries: dict[str, Mapping[str, Any]] = {}
    lines: dict[str, str] = {}
    skipped = 0
    for entry, line in zip(data, texts, strict=True):
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(id_, str) or not id_.strip() or not isinstance(entry.get("pricing"), (dict, type(None))):
            skipped += 1
        elif id_.strip() not in entries:
            entries[id_.strip()] = entry
            lines[id_.strip()] = line
    if not entries:
        msg = f"none of its {len(data)} entries can be read"
        raise ValueError(msg)
    return Listing(entries, lines, skipped)


def _texts_of(text: str, data: list[Any]) -> list[str] | None:
    """Cut each entry's own text out of the answer, since to write it anew costs three times as much as to read it.

    That works for the gateway's compact form, in which every entry begins with its id; None for any other.
    """
    begin, cut, end = '{"data":[{"id":', ',{"id":', "]}"
    if "\n" in text or not text.startswith(begin) or not text.endswith(end):
        return None
    rests = text[len(begin) : -len(end)].split(cut)
    if len(rests) != len(data):
        return None
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in data]
    if not all(rest.startswith(f'"{id_}"') for rest, id_ in zip(rests, ids, strict=True)):
        return None
    return ['{"id":' + rest for rest in rests]
