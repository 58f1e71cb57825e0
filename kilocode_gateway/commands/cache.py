"""`cache`: the lists of models that are kept on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilocode_gateway import cache
from kilocode_gateway.commands.terminal import FAILED, OK, plain, say, size, span, table, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_HEADINGS = ("gateway", "size", "age", "models", "organization")


def run(arguments: argparse.Namespace) -> int:
    """Tell where the lists are, how old and how large; or remove them, and tell which those were."""
    kept = cache.kept()
    if arguments.action == "clear":
        return _clear(kept, as_json=arguments.json)
    if arguments.json:
        write_json({"folder": str(cache.folder()), "lists": [_to_dict(one) for one in kept]})
        return OK
    print(plain(str(cache.folder())))
    for line in _table(kept):
        print(line)
    say(f"{_count(kept)}, fetched anew after {span(cache.TIME_TO_LIVE)}")
    return OK


def _clear(before: Sequence[cache.KeptFile], *, as_json: bool) -> int:
    cache.clear()
    left = cache.kept()
    paths = {one.path for one in left}
    removed = [one for one in before if one.path not in paths]
    if as_json:
        write_json({"folder": str(cache.folder()), "removed": [_to_dict(one) for one in removed]})
    else:
        for line in _table(removed):
            print(line)
        say(f"{_count(removed)} removed from {cache.folder()}")
    if left:
        say(f"error: {_count(left)} could not be removed from {cache.folder()}. Is the folder yours to write to?")
        return FAILED
    return OK


def _table(kept: Sequence[cache.KeptFile]) -> list[str]:
    rows = [
        (
            plain(one.base_url or f"unreadable: {one.path.name}"),
            size(one.bytes),
            "?" if one.age is None else span(one.age),
            "?" if one.models is None else f"{one.models:,}",
            plain(one.organization_id or ""),
        )
        for one in kept
    ]
    return table([_HEADINGS, *rows], left=(0, 4)) if rows else []


def _count(kept: Sequence[cache.KeptFile]) -> str:
    return f"{len(kept)} list{'' if len(kept) == 1 else 's'}, {size(sum(one.bytes for one in kept))}"


def _to_dict(one: cache.KeptFile) -> dict[str, object]:
    return {
        "path": str(one.path),
        "base_url": one.base_url,
        "organization_id": one.organization_id,
        "models": one.models,
        "fetched": one.fetched,
        "is_fresh": one.fetched is not None and cache.is_fresh(one.fetched),
        "bytes": one.bytes,
    }
