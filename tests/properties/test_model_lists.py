"""Model lists: whatever a gateway lists, the catalog stands, and what it keeps is what was given."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from kilocode_gateway import bundled
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.embedding_models import EmbeddingModelInfo, EmbeddingModels, _listed
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.inputs import check_inputs
from kilocode_gateway.listing import read_listing
from kilocode_gateway.models import ABILITIES, ModelInfo, check_entry
from kilocode_gateway.tables import ORDERS
from tests.properties.holding import holds
from tests.properties.values import altered, json_of, numbers, objects_of, texts

FULL: dict[str, Any] = {
    "id": "acme/large",
    "name": "Acme: Large ($$$$)",
    "created": 1_760_000_000,
    "description": "The large one.",
    "context_length": 200_000,
    "architecture": {
        "modality": "text+image->text",
        "input_modalities": ["text", "image", "file", "audio", "video", "pdf"],
        "output_modalities": ["text", "image"],
    },
    "top_provider": {"is_moderated": False, "context_length": 180_000, "max_completion_tokens": 64_000},
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
        "internal_reasoning": "0",
        "image": "0.0048",
        "request": "0.01",
        "web_search": "-1",
    },
    "supported_parameters": ["tools", "tool_choice", "reasoning", "response_format", "structured_outputs"],
    "expiration_date": "2027-01-31",
    "preferredIndex": 2,
    "isFree": False,
    "mayTrainOnYourPrompts": True,
    "autoRouting": {"models": ["acme/small"]},
    "opencode": {"variants": {"low": {"reasoning": {"effort": "low"}}}},
}
LISTED = {
    "defaultModel": "acme/embed",
    "models": [
        {"id": "acme/embed", "name": "E", "dimension": 256, "dimensionMode": "fixed", "verifiedDimensions": [8]}
    ],
    "aliases": {"embed": "acme/embed"},
}
sized = st.builds(lambda number: {"models": [{"id": "acme/embed", "dimension": number}]}, numbers)
FIELDS = [*FULL, *FULL["pricing"], "data", "models"]
PRICES = ("input", "output", "cache_read", "cache_write", "reasoning", "image", "request", "web_search")

IDS = """acme/large acme/large:free kilo/auto kilo-auto/free kilo-auto/balanced KILO/AUTO kilocode/acme/x kilo/acme/x
kilocode/kilo/auto kilocode/kilocode/x kilo/kilo/a/b kilocode/ kilo/ stealth/x-alpha ~acme/latest openrouter/auto"""
ids = texts | st.sampled_from([" acme/large ", "kilocode/ x", *IDS.split()])
entries = st.builds(lambda entry, id_: {**entry, "id": id_}, altered(st.just(FULL)), ids)
prices = st.dictionaries(st.sampled_from(list(FULL["pricing"])), numbers | texts | numbers.map(lambda n: str(n)[:60]))
priced = st.builds(lambda pricing: {**FULL, "pricing": pricing}, prices)
counted = st.builds(
    lambda counts: {**FULL, **counts},
    st.dictionaries(st.sampled_from(["context_length", "created", "preferredIndex", "max_completion_tokens"]), numbers),
)
rows = st.lists(
    entries | counted | altered(st.just(FULL)) | priced | objects_of(st.sampled_from(FIELDS)) | json_of(), max_size=6
)


def _kept(listed: list[Any]) -> dict[str, Any]:
    good: dict[str, Any] = {}
    for entry in listed:
        id_ = check_entry(entry)
        if id_ is not None:
            good.setdefault(id_, entry)
    return good


def _same(one: object, other: object) -> bool:
    """Compare JSON, where a NaN equals itself."""
    return json.dumps(one) == json.dumps(other)


@holds(200, listed=rows, escaped=st.booleans(), indent=st.sampled_from([None, 1]), more=st.booleans())
def test_a_list_is_kept_as_it_was_given(listed: list[Any], escaped: bool, indent: int | None, more: bool) -> None:
    envelope = {"data": listed, **({"object": "list"} if more else {})}
    body = json.dumps(envelope, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    good = _kept(listed)
    try:
        listing = read_listing(body)
    except ValueError as exc:
        assert not good
        assert str(exc)
        return
    assert list(listing.lines) == list(good)
    assert all("\n" not in line for line in listing.lines.values())
    assert _same({id_: json.loads(line) for id_, line in listing.lines.items()}, good)
    assert listing.skipped == sum(check_entry(entry) is None for entry in listed)


@holds(500, whole=altered(st.just({"data": [FULL]})) | json_of(st.sampled_from(FIELDS)))
def test_any_json_is_a_list_or_no_list(whole: Any) -> None:
    try:
        listing = read_listing(json.dumps(whole).encode())
    except ValueError as exc:
        assert str(exc)
    else:
        assert _same({id_: json.loads(line) for id_, line in listing.lines.items()}, _kept(whole["data"]))


@holds(500, entry=entries | priced | counted, tokens=st.lists(st.integers(0, 10**12), min_size=4, max_size=4))
def test_every_fact_of_an_entry_can_be_read(entry: dict[str, Any], tokens: list[int]) -> None:
    if check_entry(entry) is None:
        return
    before = copy.deepcopy(entry)
    info = ModelInfo.from_entry(entry)
    assert _same(entry, before)
    assert info.id == entry["id"].strip()
    assert info.raw is entry
    assert all(isinstance(getattr(info, name), bool) for name in (*ABILITIES, "tells_inputs", "is_free", "is_paid"))
    assert not (info.is_free and info.is_paid)
    for count in (info.context_window, info.max_output_tokens, info.created):
        assert count is None or (type(count) is int and count > 0)
    told = [entry.get(name) for name in ("context_length", "max_completion_tokens", "created")]
    told += [*entry["top_provider"].values()] if isinstance(entry.get("top_provider"), dict) else []
    assert all(count is None or count in told for count in (info.context_window, info.max_output_tokens, info.created))
    for name in PRICES:
        price = getattr(info.pricing, name)
        assert price is None or (isinstance(price, Decimal) and (price == 0 or Decimal("1e-30") <= price < 10**19))
        assert price is None or not price.is_signed()
    cost = info.cost(*tokens)
    assert cost is None or (cost.is_finite() and cost >= 0)
    assert json.dumps(info.to_dict(), allow_nan=False)
    assert repr(info)
    assert hash(info) == hash(ModelInfo.from_entry(before))
    again = pickle.loads(pickle.dumps(info))
    assert again == info


@holds(200, listed=rows, wanted=texts | ids)
def test_a_catalog_of_any_list_stands(listed: list[Any], wanted: str) -> None:
    good = _kept(listed)
    lines: dict[str, Any] = {id_: json.dumps(entry) for id_, entry in good.items()}
    catalog = Catalog(lines, source="gateway", fetched=0.0)
    assert {entry["id"] for entry in bundled.ENTRIES} <= set(catalog)
    assert catalog["kilo/auto"].id == "kilo/auto"
    assert len(catalog) == len(list(catalog)) == len(set(catalog))
    for id_ in catalog:
        assert id_ in catalog
        assert catalog[id_].id == id_
    for id_, entry in good.items():
        assert _same(catalog[id_].raw, {**entry, "id": id_})
        assert catalog.is_discovered(id_)
    assert json.dumps(catalog.to_dicts(), allow_nan=False)
    assert catalog._repr_html_().startswith("<table>")
    assert repr(catalog) == repr(catalog.as_stale()).replace("stale cache", "gateway")
    for order in ORDERS:
        assert {info.id for info in catalog.find(sort=order)} == set(catalog)
    assert {info.id for info in catalog.find(wanted, vision=True, min_context=10)} <= set(catalog)
    assert set(catalog.nearest(wanted)) <= set(catalog) - {wanted}
    assert (wanted in catalog) == (catalog.get(wanted) is not None)


@holds(200, lines=st.dictionaries(ids.filter(bool), st.binary(max_size=30) | json_of().map(json.dumps), max_size=4))
def test_a_catalog_of_any_lines_stands(lines: dict[str, Any]) -> None:
    catalog = Catalog({id_.strip() or "x": line for id_, line in lines.items()}, source="cache", fetched=0.0)
    assert {info.id for info in catalog.values()} == set(catalog)
    assert json.dumps(catalog.to_dicts(), allow_nan=False)
    assert catalog._repr_html_()


@holds(
    200,
    payload=altered(st.just(LISTED), most=5) | sized | json_of(),
    wanted=ids,
    dimensions=st.integers(-1, 5000) | numbers,
)
def test_a_list_of_embedding_models_is_read_entry_by_entry(payload: Any, wanted: str, dimensions: Any) -> None:
    models = _listed(payload, source="gateway")
    assert repr(models)
    for id_, info in models.items():
        assert isinstance(info, EmbeddingModelInfo)
        assert models.get(id_) is not None
        assert info.id == id_
        assert info.dimension is None or (type(info.dimension) is int and info.dimension > 0)
        assert info.dimension is None or info.dimension in [
            row.get("dimension") for row in payload["models"] if isinstance(row, dict)
        ]
        assert info.dimension is None or info.allows(info.dimension)
        try:
            models.check(id_, dimensions)
        except ConfigurationError as exc:
            assert str(exc)
    try:
        assert models[wanted].id in models
    except KeyError as exc:
        assert str(exc)
        assert wanted not in models
    assert set(EmbeddingModels.bundled()), "the bundled ones are there whatever comes"


PARTS = [
    {"type": "text", "text": "x"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
    {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
]
BODY = {
    "messages": [{"role": "user", "content": PARTS}],
    "plugins": [{"id": "file-parser", "pdf": {"engine": "native"}}],
}


@holds(200, listed=rows, body=altered(st.just(BODY)), models=st.lists(ids, min_size=1, max_size=3))
def test_inputs_are_checked_against_any_list(listed: list[Any], body: Any, models: list[str]) -> None:
    lines: dict[str, Any] = {id_: json.dumps(entry) for id_, entry in _kept(listed).items()}
    catalog = Catalog(lines, source="gateway", fetched=0.0)
    before = copy.deepcopy(body)
    try:
        check_inputs(body, models, catalog)
    except ConfigurationError as exc:
        assert "nothing was sent" in str(exc)
        assert exc.details["models"] == [id_ for id_ in exc.details["models"] if id_ in catalog]
    assert _same(body, before)
