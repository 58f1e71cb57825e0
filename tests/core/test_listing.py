"""How an answer of `/models` is read: whatever stands in it, it is a list of models or an error that says why not."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.listing import Listing, read_listing
from kilocode_gateway.models import ModelInfo

PRICING = {"prompt": "0.000001", "completion": "0.000002"}
A, B = {"id": "acme/a", "pricing": PRICING}, {"id": "acme/b", "pricing": PRICING, "name": "B"}


def read(*entries: object, **more: object) -> Listing:
    return read_listing(json.dumps({"data": list(entries), **more}).encode())


def entries_of(listing: Listing) -> dict[str, Any]:
    return {id_: json.loads(line) for id_, line in listing.lines.items()}


@pytest.mark.parametrize(
    ("form", "layout"),
    [
        ("compact", {"separators": (",", ":")}),
        ("spaced", {}),
        ("indented", {"indent": 2}),
        ("escaped", {"ensure_ascii": True, "separators": (",", ":")}),
        ("plain letters", {"ensure_ascii": False}),
    ],
)
def test_every_layout_gives_the_same_entries_each_on_one_line(form: str, layout: dict[str, Any]) -> None:
    odd = {
        **B,
        "description": 'Größe "\n"\u2028 {"id":"acme/no"},{"id":"acme/neither"}',
        "x": [{"id": "acme/a"}, {"id": "acme/b"}],
    }
    listing = read_listing(json.dumps({"data": [A, odd]}, **layout).encode())
    assert entries_of(listing) == {"acme/a": A, "acme/b": odd}
    assert all("\n" not in line for line in listing.lines.values())
    assert listing.skipped == 0


def test_what_stands_inside_an_entry_is_never_taken_for_an_entry() -> None:
    # Cut at `,{"id":` this would fall into the right number of pieces, with the right ids.
    text = '{"data":[{"id":"acme/a","x":[{"y":1},{"id":"acme/b"}]},{"pricing":{},"id":"acme/b"}]}'
    assert entries_of(read_listing(text.encode()))["acme/a"]["x"] == [{"y": 1}, {"id": "acme/b"}]


@pytest.mark.parametrize(
    "text",
    [
        '{"object":"list","data":[{"id":"acme/a"}]}',
        '{"data":[{"id":"acme/a"}],"object":"list"}',
        '{"data":[{"id":"acme/no"}],"data":[{"id":"acme/a"}]}',
        ' \r\n{ "data" : [ {"id":"acme/a"} ] } \r\n',
        '\ufeff{"data":[{"id":"acme/a"}]}',
        '{"data":[\r\n{"id":\r\n"acme/a"}\r\n]}',
    ],
    ids=range(6),
)
def test_other_envelopes_are_read_too(text: str) -> None:
    assert list(read_listing(text.encode()).lines) == ["acme/a"]


@pytest.mark.parametrize(
    "malformed",
    [None, 5, "acme/x", [], {}, {"id": None}, {"id": 5}, {"id": " "}, {"id": ["x"]}, {"name": "X", "pricing": PRICING}]
    + [{"id": "acme/x", "pricing": pricing} for pricing in ([], "0", 0, True)],
    ids=json.dumps,
)
def test_a_malformed_entry_is_skipped_and_counted(malformed: object) -> None:
    listing = read(A, malformed, B, malformed)
    assert list(listing.lines) == ["acme/a", "acme/b"]
    assert listing.skipped == 2


@pytest.mark.parametrize("pricing", [None, {}, {"prompt": ""}, {"prompt": "-1", "completion": None}], ids=json.dumps)
def test_odd_prices_make_no_entry_malformed(pricing: object) -> None:
    listing = read({"id": "acme/a", "pricing": pricing})
    assert (list(listing.lines), listing.skipped) == (["acme/a"], 0)


def test_of_two_entries_with_one_id_the_first_wins_and_none_is_malformed() -> None:
    listing = read(A, {**B, "id": " acme/a "}, {**A, "name": "third"})
    assert entries_of(listing) == {"acme/a": A}
    assert listing.skipped == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"<!doctype html><title>Bad Gateway</title>", "not JSON"),
        (b'{"data":[{"id":"acme/a"}', "not JSON"),
        (b'{"data":[{"id":"acme/a"}]} trailing', "not JSON"),
        (b'{"data":[{"id":"acme/a"},]}', "not JSON"),
        (b"[]", "no list of models"),
        (b"null", "no list of models"),
        (b'"data"', "no list of models"),
        (b"{}", "no list of models"),
        (b'{"data":null}', "no list of models"),
        (b'{"data":{"acme/a":{}}}', "no list of models"),
        (b'{"data":[]}', "empty"),
        (b'{"data":[5,null,{}]}', "none of its 3 entries"),
    ],
    ids=range(13),
)
def test_what_is_no_list_says_why(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_listing(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "data", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
model = st.fixed_dictionaries({"id": st.text(min_size=1)}, optional={"pricing": st.just({}), "x": json_values})


@given(st.lists(model | json_values, max_size=5), st.booleans(), st.sampled_from([None, 1]))
@example([{"id": "\ud800"}], False, None)
def test_any_list_is_read_as_json_reads_it(entries: list[Any], escaped: bool, indent: int | None) -> None:
    text = json.dumps({"data": entries}, ensure_ascii=escaped, indent=indent)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        body = json.dumps({"data": entries}).encode()
    good: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"].strip():
            good.setdefault(entry["id"].strip(), entry)
    try:
        listing = read_listing(body)
    except ValueError:
        assert not good
        return
    assert entries_of(listing) == good
    for entry in entries_of(listing).values():
        ModelInfo.from_entry(entry)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"data":[' + b"[" * 100_000)
@example(b'{"data":[{"id":"a","n":' + b"9" * 5000 + b"}]}")
@example(b"\xff\xfe{")
def test_any_bytes_are_a_list_or_a_value_error(body: bytes) -> None:
    try:
        listing = read_listing(body)
    except (ValueError, RecursionError):
        return
    assert listing.lines


def test_entries_lie_in_memory_as_text_until_asked_for() -> None:
    entries = [{**A, "id": f"acme/model-{place}", "description": "x" * 800} for place in range(2000)]
    body = json.dumps({"data": entries}).encode()
    tracemalloc.start()
    try:
        found = Catalog(read_listing(body).lines, source="gateway")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) > 2000
    assert kept < 1.5 * len(body)
