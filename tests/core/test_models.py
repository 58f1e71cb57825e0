"""How an entry of the model list is read, with every oddity that has been seen, and how models are named."""

from __future__ import annotations

import copy
import dataclasses
import decimal
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.models import SUCCESSORS, ModelInfo, Pricing, is_auto, parse_model_ref

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
        "tokenizer": "Other",
    },
    "top_provider": {"is_moderated": False, "context_length": 180_000, "max_completion_tokens": 64_000},
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
        "image": "0.0048",
        "request": "0.01",
        "discount": 0,
    },
    "per_request_limits": None,
    "supported_parameters": ["tools", "tool_choice", "reasoning", "include_reasoning", "response_format"],
    "expiration_date": "2027-01-31",
    "preferredIndex": 2,
    "isFree": False,
    "mayTrainOnYourPrompts": True,
    "opencode": {
        "variants": {
            "low": {"reasoning": {"enabled": True, "effort": "low"}},
            "high": {"reasoning": {"enabled": True, "effort": "high"}, "verbosity": "high"},
        }
    },
}


def read(**changed: Any) -> ModelInfo:
    """Read the full entry with some fields changed; None in `without` style is a real null."""
    return ModelInfo.from_entry({**FULL, **changed})


def bare(**fields: Any) -> ModelInfo:
    return ModelInfo.from_entry({"id": "acme/bare", **fields})


def test_a_full_entry_is_read_whole() -> None:
    info = read()
    assert info.id == "acme/large"
    assert info.name == "Acme: Large ($$$$)"
    assert info.context_window == 200_000
    assert info.max_output_tokens == 64_000
    assert info.input_modalities == ("text", "image", "file", "audio", "video", "pdf")
    assert info.output_modalities == ("text", "image")
    assert info.pricing.input == Decimal(3)
    assert info.pricing.output == Decimal(15)
    assert info.pricing.cache_read == Decimal("0.3")
    assert info.pricing.cache_write == Decimal("3.75")
    assert info.pricing.image == Decimal("0.0048")
    assert info.pricing.request == Decimal("0.01")
    assert info.reasoning_efforts == ("low", "high")
    assert info.expires == "2027-01-31"
    assert info.created == 1_760_000_000
    assert info.description == "The large one."
    assert info.may_train_on_prompts is True
    assert info.is_free is False
    assert info.is_paid is True
    assert info.supported_parameters >= {"tools", "reasoning", "response_format"}
    assert info.raw == FULL
    assert all((info.supports_vision, info.supports_pdf, info.supports_audio, info.supports_video))
    assert all((info.supports_tools, info.supports_tool_choice, info.supports_reasoning, info.supports_json_mode))
    assert info.supports_structured_output is False


def test_an_entry_with_nothing_but_its_id_leaves_everything_unknown() -> None:
    info = bare()
    assert (info.id, info.name) == ("acme/bare", "acme/bare")
    assert info.context_window is None
    assert info.max_output_tokens is None
    assert info.pricing == Pricing()
    assert info.input_modalities == info.output_modalities == ("text",)
    assert (info.is_free, info.is_paid) == (False, False)
    assert info.may_train_on_prompts is None
    assert info.created is None
    assert info.expires is None
    assert info.supports_tools, "where the gateway does not tell, tools are assumed"
    assert not info.supports_reasoning


@pytest.mark.parametrize(
    "price",
    ["-1", -1, "-0.5", "", "  ", "free", None, "NaN", "Infinity", "-Infinity", True, [], {}, "1e999999", "9" * 5000],
    ids="{!r:.12}".format,
)
def test_what_is_no_price_is_unknown_and_never_zero(price: object) -> None:
    info = read(pricing={"prompt": price, "completion": "0.000015"}, isFree=None)
    assert info.pricing.input is None
    assert info.pricing.output == Decimal(15)
    assert not info.is_free


@pytest.mark.parametrize(
    ("price", "per_million"),
    [
        ("0.000003", "3"),
        (0.000003, "3"),
        ("3e-6", "3"),
        (" 0.00000005 ", "0.05"),
        ("0", "0"),
        (0, "0"),
        ("0.00000000000000000001", "0.00000000000001"),
    ],
    ids="{!r}".format,
)
def test_prices_are_exact_decimals_per_million(price: object, per_million: str) -> None:
    assert read(pricing={"prompt": price}).pricing.input == Decimal(per_million)


def test_a_number_too_long_to_be_written_is_no_price() -> None:
    # Python refuses to turn integers of more than 4,300 digits into text.
    assert read(pricing={"prompt": 10**5000}).pricing.input is None


def test_prices_do_not_depend_on_the_users_decimal_context() -> None:
    with decimal.localcontext(decimal.Context(prec=2)):
        info = read(pricing={"prompt": "0.00000123456", "completion": "0.000015"})
        cost = info.cost(1_000_000, 0)
    assert info.pricing.input == Decimal("1.23456")
    assert cost == Decimal("1.23456")


@pytest.mark.parametrize("pricing", [None, {}])
def test_prices_that_are_not_told_are_unknown(pricing: object) -> None:
    info = read(pricing=pricing, isFree=None)
    assert info.pricing == Pricing()
    assert (info.is_free, info.is_paid) == (False, False)


@pytest.mark.parametrize(
    ("changed", "free", "paid"),
    [
        ({"isFree": True}, True, False),
        ({"isFree": False, "pricing": {"prompt": "-1", "completion": "-1"}}, False, True),
        ({"isFree": None, "pricing": {"prompt": "0", "completion": "0"}}, True, False),
        ({"isFree": None, "pricing": {"prompt": "0", "completion": "0", "request": "0.01"}}, False, True),
        ({"isFree": None, "pricing": {"prompt": "-1", "completion": "-1"}}, False, False),
        ({"isFree": None, "pricing": {"prompt": "0"}}, False, False),
        ({"isFree": "yes", "pricing": {"prompt": "0.1"}}, False, True),
        ({"isFree": None, "pricing": {}, "id": "acme/tiny:free"}, True, False),
        ({"isFree": None, "pricing": {}, "id": "kilo-auto/free"}, True, False),
        ({"isFree": None, "pricing": {}, "id": "openrouter/free"}, True, False),
        ({"isFree": None, "pricing": {}, "id": "stealth/nova-alpha"}, True, False),
        ({"isFree": None, "pricing": {}, "id": "stealth/nova"}, False, False),
    ],
)
def test_free_and_paid(changed: dict[str, Any], free: bool, paid: bool) -> None:
    info = read(**changed)
    assert (info.is_free, info.is_paid) == (free, paid)


@pytest.mark.parametrize("parameters", [None, [], "tools", {}, 5, [None, 7]])
def test_tools_are_assumed_where_no_parameters_are_told(parameters: object) -> None:
    info = read(supported_parameters=parameters)
    assert info.supported_parameters == frozenset()
    assert info.supports_tools
    assert not info.supports_structured_output
    assert not info.supports_reasoning


def test_tools_are_denied_where_other_parameters_are_told() -> None:
    assert not read(supported_parameters=["temperature"]).supports_tools


@pytest.mark.parametrize("name", ["reasoning", "include_reasoning", " Reasoning "])
def test_either_parameter_means_reasoning(name: str) -> None:
    assert read(supported_parameters=[name]).supports_reasoning


@pytest.mark.parametrize(
    ("architecture", "inputs", "outputs"),
    [
        (None, ("text",), ("text",)),
        ({}, ("text",), ("text",)),
        ({"input_modalities": ["Text", " IMAGE ", "image", "", None, 3]}, ("text", "image"), ("text",)),
        ({"modality": "text+image->text"}, ("text", "image"), ("text",)),
        ({"modality": "text->image", "input_modalities": []}, ("text",), ("image",)),
        ({"modality": None}, ("text",), ("text",)),
        ({"modality": "text+image->text", "input_modalities": ["text"]}, ("text",), ("text",)),
        ("text", ("text",), ("text",)),
    ],
)
def test_modalities(architecture: object, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    info = read(architecture=architecture)
    assert (info.input_modalities, info.output_modalities) == (inputs, outputs)


@pytest.mark.parametrize("kind", ["file", "pdf"])
def test_files_mean_pdf(kind: str) -> None:
    assert read(architecture={"input_modalities": ["text", kind]}).supports_pdf


@pytest.mark.parametrize(
    ("changed", "window", "most"),
    [
        ({"top_provider": None}, 200_000, None),
        ({"top_provider": {"max_completion_tokens": None, "context_length": None}}, 200_000, None),
        ({"context_length": None}, 180_000, 64_000),
        ({"context_length": 0}, 180_000, 64_000),
        ({"context_length": -1, "top_provider": {}}, None, None),
        ({"context_length": "200000", "top_provider": {"max_completion_tokens": "many"}}, None, None),
        ({"context_length": 200_000.0}, 200_000, 64_000),
        ({"context_length": float("nan"), "top_provider": {}}, None, None),
        ({"context_length": float("inf"), "top_provider": {}}, None, None),
        ({"context_length": True, "top_provider": {}}, None, None),
        ({"top_provider": {}, "max_completion_tokens": 9_000}, 200_000, 9_000),
        ({"top_provider": {"max_completion_tokens": 10_000_000}}, 200_000, 10_000_000),
    ],
)
def test_sizes(changed: dict[str, Any], window: int | None, most: int | None) -> None:
    info = read(**changed)
    assert (info.context_window, info.max_output_tokens) == (window, most)


@pytest.mark.parametrize("name", [None, "", "  ", 5, []])
def test_a_missing_name_is_the_id(name: object) -> None:
    assert read(name=name).name == "acme/large"


def test_blanks_around_the_id_are_dropped() -> None:
    assert read(id=" acme/large\n").id == "acme/large"


@pytest.mark.parametrize(
    "opencode",
    [None, [], "x", {"variants": None}, {"variants": ["high"]}, {"variants": {"a": None, "b": {"reasoning": 5}}}],
)
def test_efforts_that_cannot_be_read_are_none(opencode: object) -> None:
    assert read(opencode=opencode).reasoning_efforts == ()


def test_an_effort_is_listed_once() -> None:
    variants = {name: {"reasoning": {"effort": "high"}} for name in ("a", "b")}
    assert read(opencode={"variants": variants}).reasoning_efforts == ("high",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
nested = {
    "architecture": st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["architecture"], json_values)),
    "top_provider": st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["top_provider"], json_values)),
    "pricing": st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["pricing"], json_values)),
    "opencode": st.fixed_dictionaries({"variants": st.dictionaries(st.text(max_size=4), json_values, max_size=3)}),
}
fields = {name: json_values | nested[name] if name in nested else json_values for name in FULL if name != "id"}
entries = st.fixed_dictionaries({"id": st.text(min_size=1)}, optional=fields)


@given(entries)
def test_no_json_makes_reading_fail(entry: dict[str, Any]) -> None:
    before = copy.deepcopy(entry)
    info = ModelInfo.from_entry(entry)
    told = info.to_dict()
    json.dumps(told, allow_nan=False)
    assert repr(entry) == repr(before), "the entry itself stays as it came"
    assert not (info.is_free and info.is_paid)
    for price in (info.pricing.input, info.pricing.output, info.cost(10, 10)):
        assert price is None or price >= 0
    for number in (info.context_window, info.max_output_tokens):
        assert number is None or number > 0
    assert hash(info) == hash(ModelInfo.from_entry(entry))


@given(st.decimals(min_value=0, max_value=1, places=12), st.integers(0, 10**7), st.integers(0, 10**7))
def test_cost_is_exact(price: Decimal, tokens_in: int, tokens_out: int) -> None:
    info = bare(pricing={"prompt": str(price), "completion": str(price)})
    assert info.cost(tokens_in, tokens_out) == (tokens_in + tokens_out) * price


def test_cost_counts_cached_tokens_at_their_own_price() -> None:
    info = bare(
        pricing={"prompt": "0.00001", "completion": "0", "input_cache_read": "0.000001", "input_cache_write": "0.0001"}
    )
    assert info.cost(1000, 0, cache_read_tokens=600, cache_write_tokens=100) == Decimal("0.0136")


def test_cached_tokens_without_a_price_cost_as_others_do() -> None:
    assert bare(pricing={"prompt": "0.00001", "completion": "0"}).cost(1000, 5, cache_read_tokens=600) == Decimal(
        "0.01"
    )


def test_cost_is_unknown_where_a_price_that_matters_is() -> None:
    info = bare(pricing={"prompt": "0.00001", "completion": "-1"})
    assert info.cost(1000, 1) is None
    assert info.cost(1000, 0) == Decimal("0.01")


def test_a_model_is_frozen_hashable_and_survives_pickle_and_copy() -> None:
    info = read()
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.name = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(info)) == info == copy.deepcopy(info)
    assert len({info, read()}) == 1
    assert "per_request_limits" not in repr(info), "the raw entry would drown the rest"


def test_to_dict_is_plain_json_without_exponents() -> None:
    told = json.loads(json.dumps(read(pricing={"prompt": "5e-8", "completion": "-1"}).to_dict()))
    assert told["id"] == "acme/large"
    assert told["pricing"]["input"] == "0.05"
    assert told["pricing"]["output"] is None
    assert told["supports_vision"] is True
    assert told["supported_parameters"] == sorted(FULL["supported_parameters"])
    assert told["description"] == "The large one."


@pytest.mark.parametrize(
    ("reference", "id_"),
    [
        ("kilo/auto", "kilo/auto"),
        ("kilocode/kilo/auto", "kilo/auto"),
        ("kilo/kilo-auto/balanced", "kilo-auto/balanced"),
        ("kilocode/kilo-auto/balanced", "kilo-auto/balanced"),
        ("kilocode/kilo/kilo-auto/free", "kilo-auto/free"),
        ("kilocode/kilocode/acme/x", "acme/x"),
        ("kilo/kilo/acme/x", "acme/x"),
        ("kilo/kilocode/acme/x", "acme/x"),
        ("kilocode/ acme/x", "acme/x"),
        ("kilo/anthropic/claude-sonnet-4.6", "anthropic/claude-sonnet-4.6"),
        ("kilo/auto-free", "kilo/auto-free"),
        ("kilocode/anthropic/claude-sonnet-4.6:thinking", "anthropic/claude-sonnet-4.6:thinking"),
        ("kilo/~anthropic/claude-latest", "~anthropic/claude-latest"),
        ("kilocode/giga-potato", "giga-potato"),
        ("giga-potato", "giga-potato"),
        ("kilo-internal/mine", "kilo-internal/mine"),
        ("  openai/gpt-5.4\n", "openai/gpt-5.4"),
        ("OpenAI/GPT-5.4", "OpenAI/GPT-5.4"),
    ],
)
def test_client_prefixes_are_stripped(reference: str, id_: str) -> None:
    assert parse_model_ref(reference) == id_
    assert parse_model_ref(id_) == id_, "an id is a reference to itself"


@pytest.mark.parametrize("reference", ["", "  ", None, 5, b"kilo/auto", "kilocode/", "kilocode/ ", ["kilo/auto"]])
def test_what_names_no_model_is_refused(reference: object) -> None:
    with pytest.raises(ConfigurationError, match="kilo/auto"):
        parse_model_ref(reference)  # type: ignore[arg-type]


@given(st.text())
def test_a_reference_is_an_id_without_outer_blanks_or_refused(reference: str) -> None:
    try:
        id_ = parse_model_ref(reference)
    except ConfigurationError:
        return
    assert id_
    assert id_ == id_.strip()


def test_successors() -> None:
    assert dict(SUCCESSORS) == {
        "kilo/auto": "kilo-auto/balanced",
        "kilo/auto-free": "kilo-auto/free",
        "kilo/auto-small": "kilo-auto/small",
    }
    assert all(is_auto(old) and is_auto(new) for old, new in SUCCESSORS.items())
    assert is_auto("kilo-auto/frontier")
    assert is_auto(" KILO/Auto"), "the gateway takes its own names in any case of letters"
    assert not is_auto("openai/gpt-5.4")
    assert not is_auto("kilo-internal/auto")
