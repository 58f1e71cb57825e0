"""What a setting takes, said in the same words by both frameworks."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from kilocode_gateway import wire
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.wire.kinds import KINDS


@pytest.mark.parametrize(
    "given",
    [
        {},
        dict.fromkeys(KINDS),
        {"temperature": 0, "top_p": 1, "max_tokens": 1, "seed": -1, "stop": "x"},
        {"temperature": 2.0, "stop": ["a", "b"], "logprobs": True, "transforms": ("middle-out",)},
        {"temperature": Fraction(1, 2), "something_new": object(), "route": 3},
    ],
)
def test_what_fits_is_taken(given: dict[str, Any]) -> None:
    wire.check_values(given, where="X")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", "hot", "X: temperature must be a number from 0 to 2, got 'hot'."),
        ("temperature", 2.1, "X: temperature must be a number from 0 to 2, got 2.1."),
        ("top_p", True, "X: top_p must be a number, got True."),
        ("top_p", Decimal(1), "X: top_p must be a number, got Decimal."),
        ("max_tokens", 0, "X: max_tokens must be a whole number from 1, got 0."),
        ("max_tokens", 1.5, "X: max_tokens must be a whole number from 1, got 1.5."),
        ("store", 1, "X: store must be True or False, got 1."),
        ("plugins", "web", "X: plugins must be a list, got str."),
        ("extra_headers", "secret-1", "X: extra_headers must be a dict, got str."),
        ("stop", [1], "X: stop must be a string or a list of strings, got list."),
        ("reasoning", "high", "X: reasoning must be a dict, got str. For an effort alone there is reasoning_effort=."),
        ("reasoning_effort", 3, "X: reasoning_effort must be a string, got 3."),
    ],
)
def test_what_does_not_is_told(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wire.check_values({name: value}, where="X")
    assert str(caught.value) == said


def test_pydantics_errors_are_told_once_for_each_setting_and_show_no_text() -> None:
    errors = [
        {"loc": ("stop", "str"), "msg": "Input should be a valid string", "input": 3},
        {"loc": ("stop", "list[str]"), "msg": "Input should be a valid list", "input": 3},
        {"loc": ("dimensions",), "msg": "Input should be greater than 0", "input": 0},
        {"loc": ("provider", "order"), "msg": "Input should be a valid list", "input": "secret-1"},
        {"loc": (), "msg": "Value error, odd", "input": {"a": "secret-1"}},
    ]
    said = wire.misfits(errors, {"stop": 3, "dimensions": 0, "provider": {"order": "secret-1"}})
    assert said.split("; ") == [
        "stop must be a string or a list of strings, got 3",
        "dimensions: Input should be greater than 0, got 0",
        "provider.order: Input should be a valid list, got str",
        "all: Value error, odd, got dict",
    ]


def test_every_kind_is_of_a_setting_that_there_is() -> None:
    assert set(KINDS) <= {*wire.NAMES, "extra_body", "extra_headers"}
