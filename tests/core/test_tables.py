"""Near names, orders and the notebook's table."""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import Any

import pytest

from kilocode_gateway import tables
from kilocode_gateway.models import ModelInfo, Pricing

IDS = [
    "kilo-auto/balanced",
    "anthropic/claude-sonnet-4.6",
    "anthropic/claude-opus-4.7",
    "openai/gpt-5.4",
    "openai/gpt-5.4-mini",
    "google/gemini-2.5-flash",
    "other/gpt-5.4",
    "stepfun/step-3.7-flash:free",
    "kilo/auto",
]


@pytest.mark.parametrize(
    ("wanted", "best"),
    [
        ("anthropic/claude-sonet-4.6", "anthropic/claude-sonnet-4.6"),
        ("claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"),
        ("Anthropic/Claude-Sonnet-4.6", "anthropic/claude-sonnet-4.6"),
        ("openai/gpt5.4", "openai/gpt-5.4"),
        ("gemini-2.5-flsh", "google/gemini-2.5-flash"),
        ("kilo/auot", "kilo/auto"),
        ("step-3.7-flash", "stepfun/step-3.7-flash:free"),
    ],
)
def test_the_nearest_name_comes_first(wanted: str, best: str) -> None:
    assert tables.nearest(wanted, IDS, 3)[0] == best


def test_two_vendors_of_one_model_are_both_near() -> None:
    assert tables.nearest("gpt-5.4", IDS, 2) == ["other/gpt-5.4", "openai/gpt-5.4"]
    assert tables.nearest("openai/gpt-54", IDS, 2) == ["openai/gpt-5.4", "other/gpt-5.4"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("claude", ["anthropic/claude-sonnet-4.6", "anthropic/claude-opus-4.7"]),
        (" Anthropic ", ["anthropic/claude-sonnet-4.6", "anthropic/claude-opus-4.7"]),
        ("flash gemini", ["google/gemini-2.5-flash"]),
        ("e", []),
    ],
)
def test_where_no_name_looks_alike_those_that_hold_the_words_are_given(wanted: str, found: list[str]) -> None:
    assert tables.nearest(wanted, IDS, 3) == found
    assert tables.nearest(wanted, IDS, 1) == found[:1]


def test_a_name_is_not_near_itself() -> None:
    assert "openai/gpt-5.4" not in tables.nearest("openai/gpt-5.4", IDS, 9)


@pytest.mark.parametrize("wanted", ["qqq", "x", "", "1234567890"])
def test_nothing_is_near_to_nonsense(wanted: str) -> None:
    assert tables.nearest(wanted, IDS, 3) == []


def test_as_many_as_asked_for() -> None:
    assert tables.nearest("openai/gpt-5", IDS, 0) == []
    assert len(tables.nearest("openai/gpt-5", IDS, 2)) == 2


def test_few_of_a_long_list_are_compared_in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing them all would hold an event loop up."""
    compared: list[str] = []

    class Counting(difflib.SequenceMatcher[str]):
        def __init__(self, isjunk: Any, a: str, b: str) -> None:
            compared.append(a)
            super().__init__(isjunk, a, b)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    ids = [f"vendor-{number % 60}/some-model-{number}-preview" for number in range(5000)]
    assert tables.nearest("vendor-3/some-modell-3003-preview", ids, 1) == ["vendor-3/some-model-3003-preview"]
    assert 0 < len(compared) <= 100


def info(id_: str, *, context: int | None = None, price: tuple[Any, Any] = (None, None)) -> ModelInfo:
    return ModelInfo(id=id_, name=id_, context_window=context, pricing=Pricing(input=price[0], output=price[1]))


def test_orders() -> None:
    one, two = Decimal(1), Decimal(2)
    models = [
        info("b/unknown", context=5),
        info("D/half", price=(Decimal(0), None)),
        info("c/dear", context=9, price=(one, two)),
        info("a/cheap", price=(one, one)),
    ]
    ids = {order: [found.id for found in sorted(models, key=key)] for order, key in tables.ORDERS.items()}
    assert ids == {
        "price": ["a/cheap", "c/dear", "D/half", "b/unknown"],
        "context": ["c/dear", "b/unknown", "D/half", "a/cheap"],
        "name": ["a/cheap", "b/unknown", "c/dear", "D/half"],
    }


def test_the_table_escapes_and_tells_small_prices() -> None:
    models = [info("<b>bold</b>/x", context=200_000, price=(Decimal("0.00400"), Decimal("1E+1")))]
    page = tables.to_html(models, 0, "Catalog(<1>)")
    assert "<b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;/x" in page
    assert "Catalog(&lt;1&gt;)" in page
    for cell in ("200,000", "0.004", "10"):
        assert f"<td>{cell}</td>" in page
    assert "more" not in page


def test_the_table_tells_what_it_leaves_out() -> None:
    page = tables.to_html([info("a/a")], 12, "")
    assert "and 12 more" in page
    assert page.count("<td>?</td>") == 3
