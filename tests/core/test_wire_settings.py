"""Names of settings: which one was meant, and when nobody can tell."""

from __future__ import annotations

import pytest

from kilocode_gateway.errors import UnknownSettingError
from kilocode_gateway.wire import NAMES, check_names, nearest_name

FIELDS = {*NAMES, "default_headers", "extra_body", "truncation", "callbacks", "max_retries", "timeout"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("timout", "timeout"),
        ("max_retry", "max_retries"),
        ("fallback_model", "fallback_models"),
    ],
)
def test_slips_are_understood(name: str, meant: str) -> None:
    assert nearest_name(name, FIELDS) == meant


@pytest.mark.parametrize("name", ["functions", "extra_headers", "session_id", "system", "num_predict"])
def test_wrong_hint_is_worse_than_none(name: str) -> None:
    assert nearest_name(name, FIELDS) is None


@pytest.mark.parametrize(("name", "instead"), [("functions", "tools="), ("function_call", "tool_choice=")])
def test_names_of_old_are_told_by_their_new_ones(name: str, instead: str) -> None:
    with pytest.raises(UnknownSettingError, match=instead) as caught:
        check_names([name], [], where="ChatKiloCode")
    assert "extra_body" not in str(caught.value)
