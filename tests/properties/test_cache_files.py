"""The list on disk: whatever becomes of the file, it gives what was saved or nothing."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hypothesis import strategies as st

from kilocode_gateway import cache
from kilocode_gateway.catalog import Catalog
from tests.properties.holding import holds
from tests.properties.values import altered, damaged, json_of, numbers, texts

HERE: tuple[str, str | None] = ("https://gateway.example/api/gateway/", None)

ids = texts.map(str.strip).filter(bool)
lists = st.dictionaries(ids, json_of().map(json.dumps), min_size=1, max_size=5)
times = st.floats(0, 4e9)


def save(lines: dict[str, str], fetched: float, skipped: int) -> bytes:
    """Save a list, and give the file's bytes."""
    cache.save(HERE, lines, fetched, skipped=skipped)
    return cache.path_of(HERE).read_bytes()


def facts(kept: cache.CachedList | None) -> Any:
    """Give everything that was loaded."""
    return kept and (kept.fetched, kept.skipped, list(kept.lines.items()))


@holds(500, content=st.binary(max_size=200) | json_of().map(lambda value: json.dumps(value).encode() + b"\n{}\n"))
def test_any_bytes_are_no_list(content: bytes) -> None:
    save({"a": "{}"}, 0.0, 0)
    cache.path_of(HERE).write_bytes(content)
    assert cache.load(HERE) is None


@holds(500, lines=lists, fetched=times, skipped=st.integers(0, 99))
def test_what_was_saved_comes_back(lines: dict[str, str], fetched: float, skipped: int) -> None:
    save(lines, fetched, skipped)
    kept = cache.load(HERE)
    assert kept is not None
    written = [(id_, f"{line}\n".encode()) for id_, line in lines.items()]
    assert facts(kept) == (fetched, skipped, written)


@holds(200, lines=lists, fetched=times, data=st.data())
def test_a_damaged_file_gives_what_was_saved_or_nothing(lines: dict[str, str], fetched: float, data: Any) -> None:
    whole = save(lines, fetched, 1)
    before = facts(cache.load(HERE))
    cache.path_of(HERE).write_bytes(data.draw(damaged(whole)))
    assert facts(cache.load(HERE)) in (None, before)
    cache.save(HERE, lines, fetched)
    assert cache.load(HERE) is not None


@holds(500, lines=lists, place=st.integers(0, 10**5), bits=st.integers(1, 255))
def test_no_single_byte_can_change_a_list(lines: dict[str, str], place: int, bits: int) -> None:
    whole = save(lines, 5.0, 1)
    before = facts(cache.load(HERE))
    place %= len(whole)
    cache.path_of(HERE).write_bytes(whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :])
    assert facts(cache.load(HERE)) in (None, before)


@holds(200, lines=lists, name=st.sampled_from(["time", "skipped", "count", "ids", "starts", "length"]), data=st.data())
def test_a_header_of_somebody_else_is_read_or_ignored(lines: dict[str, str], name: str, data: Any) -> None:
    head, _, rest = save(lines, 5.0, 1).partition(b"\n")
    header = json.loads(head)
    del header["checksum"]
    header[name] = data.draw(altered(st.just(header[name])) | numbers | texts | json_of())
    signed = b", %b\n%b" % (json.dumps(header).encode()[1:], rest)
    cache.path_of(HERE).write_bytes(b'{"checksum": %d%b' % (zlib.crc32(signed), signed))
    kept = cache.load(HERE)
    if kept is None:
        return
    assert isinstance(cache.is_fresh(kept.fetched), bool)
    catalog = Catalog(kept.lines, source="cache", fetched=kept.fetched, skipped=kept.skipped)
    assert repr(catalog)
    assert json.dumps(catalog.to_dicts(), allow_nan=False)
