"""The catalog as a mapping: looked up by any name, filtered, sorted, shown."""

from __future__ import annotations

import copy
import json
import pickle
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import cache
from kilocode_gateway.catalog import Catalog, UnknownModelError
from kilocode_gateway.errors import ConfigurationError, KiloCodeError
from kilocode_gateway.models import ModelInfo
from tests.core.catalogs import FAMILY, PRICING, config_of, discover

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway


def test_the_bundled_models() -> None:
    found = Catalog.bundled()
    assert list(found) == FAMILY
    assert (found.source, found.age, found.skipped) == ("bundled", None, 0)
    auto = found["kilo/auto"]
    assert (auto.name, auto.context_window, auto.max_output_tokens) == ("Kilo Auto", 1_000_000, 128_000)
    assert auto.input_modalities == ("text", "image")
    assert auto.supports_reasoning
    assert auto.supports_tools
    assert auto.pricing.input is None
    sizes = {id_: (found[id_].context_window, found[id_].max_output_tokens) for id_ in FAMILY[1:]}
    assert sizes == {
        "kilo-auto/frontier": (1_000_000, 128_000),
        "kilo-auto/balanced": (1_000_000, 65_536),
        "kilo-auto/efficient": (1_000_000, 65_536),
        "kilo-auto/free": (256_000, 32_768),
        "kilo-auto/small": (262_144, 32_768),
    }
    assert found["kilo-auto/frontier"].supports_pdf
    assert not found["kilo-auto/free"].supports_vision
    assert found["kilo-auto/free"].is_free
    assert [info.id for info in found.find(free=True)] == ["kilo-auto/free"]
    small = found["kilo-auto/small"].pricing
    assert (small.input, small.output) == (Decimal("0.05"), Decimal("0.4"))
    for info in found.values():
        assert not info.supports_structured_output, "structured output through the family is by tools"


@pytest.mark.parametrize("reference", ["acme/large", "kilocode/acme/large", "kilo/acme/large", " acme/large "])
def test_any_form_of_a_reference_finds_the_model(acme: LocalGateway, reference: str) -> None:
    found = discover(acme)
    assert found[reference].id == "acme/large"
    assert found.get(reference) is found["acme/large"]
    assert reference in found


def test_a_successor_lends_its_facts_where_only_it_is_listed(make_gateway: Callable[..., LocalGateway]) -> None:
    newest = {"id": "kilo-auto/balanced", "name": "New", "context_length": 777, "pricing": PRICING, "isFree": False}
    found = discover(make_gateway(models=[newest]))
    assert (found["kilo/auto"].id, found["kilo/auto"].context_window) == ("kilo/auto", 777)
    assert found["kilo/auto-free"].context_window == 256_000, (
        "where neither is listed, what is bundled of the newer one"
    )
    assert not found.is_discovered("kilo/auto")
    assert [info.id for info in found.values()] == list(found), "nothing is listed twice"


def test_an_older_gateways_own_kilo_auto_wins(make_gateway: Callable[..., LocalGateway]) -> None:
    both = [
        {"id": "kilo/auto", "context_length": 111, "pricing": PRICING},
        {"id": "kilo-auto/balanced", "context_length": 777, "pricing": PRICING},
    ]
    found = discover(make_gateway(models=both))
    assert found["kilo/auto"].context_window == 111
    assert found["kilocode/kilo/auto"].context_window == 111


@pytest.mark.parametrize("id_", ["kilocode/acme/x", "kilo/acme/x", "kilocode/kilo/auto"])
def test_an_id_that_looks_like_another_clients_name_is_a_model_like_any_other(id_: str) -> None:
    found = Catalog({id_: {"id": id_, "context_length": 5}}, source="gateway")
    assert found[id_].context_window == 5
    assert [info.id for info in found.values()] == list(found) == [id_, *FAMILY]
    assert found._repr_html_().count(f"<td>{id_}</td>") == 1
    assert id_ not in found.nearest(id_)


def test_the_dialects_of_the_local_gateway(make_gateway: Callable[..., LocalGateway]) -> None:
    assert discover(make_gateway(dialect="february")).is_discovered("kilo/auto")
    newest = discover(make_gateway(dialect="newest"))
    assert not newest.is_discovered("kilo/auto")
    assert newest.is_discovered("kilo-auto/balanced")
    assert newest["kilo/auto"].context_window == newest["kilo-auto/balanced"].context_window


@pytest.mark.parametrize("reference", ["acme/huge", "", "  ", 5, None, ("acme/large",), "kilocode/"], ids=repr)
def test_an_unknown_model_is_a_key_error_with_a_readable_sentence(acme: LocalGateway, reference: Any) -> None:
    found = discover(acme)
    assert reference not in found
    assert found.get(reference) is None
    assert found.get(reference, "x") == "x"
    with pytest.raises(KeyError) as caught:
        found[reference]
    error = caught.value
    assert isinstance(error, UnknownModelError)
    assert isinstance(error, KiloCodeError)
    assert not isinstance(error, ValueError), "pydantic must not wrap it"
    assert str(error).startswith("The catalog")
    assert "\\n" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.details, type(again)) == (str(error), error.details, UnknownModelError)


def test_an_unknown_models_error_names_similar_ones(acme: LocalGateway) -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'acme/large'") as caught:
        discover(acme)["acme/larg"]
    assert caught.value.details["nearest"][0] == "acme/large"
    with pytest.raises(UnknownModelError, match="Did you mean 'beta/middle' or 'beta/varies'"):
        discover(acme)["beta"]
    with pytest.raises(UnknownModelError, match="gives the ids"):
        discover(acme)["qqq"]


def names(models: list[ModelInfo]) -> list[str]:
    return [info.id for info in models]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"vision": True, "structured_output": True}, ["acme/large"]),
        ({"tools": False}, ["beta/middle"]),
        ({"free": True}, ["acme/small:free", "kilo-auto/free"]),
        ({"text": "POEMS"}, ["acme/large"]),
        ({"text": "acme large"}, ["acme/large"]),
        ({"text": "acme middle"}, []),
        ({"min_context": 200_001, "vision": False}, ["kilo-auto/free"]),
        ({"min_context": 200_000, "text": "acme"}, ["acme/large"]),
        ({"reasoning": True, "tools": True, "vision": True, "text": "acme"}, ["acme/large"]),
        ({"text": "beta", "sort": "price"}, ["beta/middle", "beta/varies"]),
        ({"text": "acme", "sort": "price"}, ["acme/small:free", "acme/large"]),
        ({"text": "e", "sort": "context", "free": False, "vision": False}, ["beta/middle", "beta/varies"]),
        ({"text": "beta", "sort": "name"}, ["beta/middle", "beta/varies"]),
    ],
    ids=str,
)
def test_find(acme: LocalGateway, asked: dict[str, Any], ids: list[str]) -> None:
    assert names(discover(acme).find(**asked)) == ids


def test_find_without_conditions_gives_everything_in_order(acme: LocalGateway) -> None:
    found = discover(acme)
    assert names(found.find()) == list(found)
    assert names(found.find("large")) == ["acme/large"]


def test_find_refuses_an_order_that_it_does_not_know(acme: LocalGateway) -> None:
    with pytest.raises(ConfigurationError, match=r"'price'.*got 'cheap'"):
        discover(acme).find(sort="cheap")  # type: ignore[arg-type]


REAL = [
    "anthropic/claude-opus-4.7",
    "anthropic/claude-sonnet-4.6",
    "anthropic/claude-haiku-4.5",
    "openai/gpt-5.4",
    "openai/gpt-5.4-mini",
    "google/gemini-3.1-pro-preview",
    "google/gemini-2.5-flash",
    "x-ai/grok-4",
    "deepseek/deepseek-v3.2",
    "moonshotai/kimi-k2.5",
    "other/grok-4",
]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("claude-sonet-4.6", "anthropic/claude-sonnet-4.6"),
        ("anthropic/claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"),
        ("gpt5.4", "openai/gpt-5.4"),
        ("GPT-5.4", "openai/gpt-5.4"),
        ("kilo/auot", "kilo/auto"),
        ("kilo-auto/balance", "kilo-auto/balanced"),
        ("kilocode/google/gemini-2.5-falsh", "google/gemini-2.5-flash"),
        ("grok4", "x-ai/grok-4"),
        ("openai/grok-4", "x-ai/grok-4"),
        ("deepseek-v3", "deepseek/deepseek-v3.2"),
        ("kimi-k2.5", "moonshotai/kimi-k2.5"),
    ],
)
def test_nearest_finds_what_was_meant(make_gateway: Callable[..., LocalGateway], typo: str, meant: str) -> None:
    found = Catalog({id_: {"id": id_} for id_ in REAL}, source="gateway")
    assert found.nearest(typo)[0] == meant
    assert len(found.nearest(typo)) <= 3
    assert len(found.nearest(typo, 1)) == 1


@pytest.mark.parametrize("reference", ["", " ", None, 5, "zzzzzzzzzzzzzzzz"], ids=repr)
def test_nearest_of_nothing_is_nothing(reference: Any) -> None:
    assert Catalog.bundled().nearest(reference) == []


def test_two_vendors_of_one_model_are_both_near() -> None:
    found = Catalog({id_: {"id": id_} for id_ in REAL}, source="gateway")
    assert {"x-ai/grok-4", "other/grok-4"} <= set(found.nearest("grok-4"))


def test_to_dicts_is_plain_json(acme: LocalGateway) -> None:
    found = discover(acme)
    rows = json.loads(json.dumps(found.to_dicts(), allow_nan=False))
    assert [row["id"] for row in rows] == list(found)
    assert rows[0]["pricing"]["output"] == "30"


def test_the_table_for_notebooks_is_escaped_and_short(make_gateway: Callable[..., LocalGateway]) -> None:
    nasty = {
        "id": "acme/<script>alert(1)</script>",
        "name": "<b>",
        "pricing": {"prompt": "0.000000004", "completion": "-1"},
    }
    many = [{"id": f"acme/{number}", "pricing": {}} for number in range(500)]
    found = discover(make_gateway(models=[nasty, *many]))
    table = found._repr_html_()
    assert "<script>" not in table
    assert "&lt;script&gt;" in table
    assert "0.004" in table, "a small price is not rounded away"
    assert table.count("<tr>") < 100
    assert "more" in table


def test_repr_tells_number_and_source(acme: LocalGateway) -> None:
    assert repr(discover(acme)) == "Catalog(10 models, source='gateway', age=0 min)"
    assert repr(Catalog.bundled()) == "Catalog(6 models, source='bundled')"


def test_an_entry_becomes_a_model_when_it_is_first_asked_for(
    acme: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    from_entry = ModelInfo.from_entry
    monkeypatch.setattr(ModelInfo, "from_entry", lambda entry: made.append(entry["id"]) or from_entry(entry))
    found = discover(acme)
    assert "acme/large" in found
    assert (len(found), next(iter(found)), made) == (10, "acme/large", [])
    assert found["acme/large"] is found["acme/large"]
    assert made == ["acme/large"]


def test_a_cached_line_that_is_no_entry_raises_nothing(acme: LocalGateway) -> None:
    lines = {"acme/a": "not JSON", "acme/b": "[]", "acme/c": "[" * 100_000, "acme/d": '{"id":"other"}'}
    cache.save(config_of(acme).identity, lines, time.time())
    found = discover(acme)
    assert found.source == "cache"
    assert [info.id for info in found.values()][:4] == list(lines)
    assert found["acme/a"].context_window is None


def test_a_catalog_can_be_copied_and_pickled(acme: LocalGateway) -> None:
    found = discover(acme)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert again == found
        assert (again.source, again.fetched) == (found.source, found.fetched)


def test_a_bad_setting_is_told_and_nothing_is_asked() -> None:
    with pytest.raises(ConfigurationError, match="http"):
        Catalog.discover(base_url="gateway")
    with pytest.raises(ConfigurationError, match="line break"):
        Catalog.discover(api_key="test\nkey")
