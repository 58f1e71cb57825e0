"""A setting in one place wins over another place's, in whatever spelling each has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import ConfigurationError

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

LOW, LONG, HIGH = {"effort": "low"}, {"max_tokens": 500}, {"effort": "high"}
BOTH_SPELLINGS: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    ({"reasoning": LOW}, {"reasoning_effort": "high"}, HIGH),
    ({"reasoning": LONG}, {"reasoning_effort": "high"}, HIGH),
    ({"reasoning": LOW}, {"reasoning": LONG}, LONG),
    ({"reasoning_effort": "low"}, {"reasoning": LONG}, LONG),
    ({"reasoning_effort": "low"}, {"reasoning": None}, None),
    ({"reasoning": LOW}, {"reasoning_effort": None}, None),
]


@pytest.mark.parametrize("row", BOTH_SPELLINGS)
async def test_the_call_wins_in_either_spelling_of_reasoning(
    ask: Any, make_model: Any, gateway: LocalGateway, row: tuple[dict[str, Any], dict[str, Any], Any]
) -> None:
    own, call, expected = row
    await ask(make_model(**own), "Hello", **call)
    assert gateway.last_request.json.get("reasoning") == expected
    assert "reasoning_effort" not in gateway.last_request.json


@pytest.mark.parametrize(("own", "changes", "expected"), BOTH_SPELLINGS)
def test_so_does_a_copys_change_or_an_assignment(
    make_model: Any, gateway: LocalGateway, own: dict[str, Any], changes: dict[str, Any], expected: Any
) -> None:
    changed = make_model(**own)
    for name, value in changes.items():
        setattr(changed, name, value)
    for model in (make_model(**own).model_copy(update=changes), changed):
        model.invoke("Hello")
        assert gateway.last_request.json.get("reasoning") == expected


async def test_the_call_wins_in_either_spelling_of_the_limit(ask: Any, make_model: Any, gateway: LocalGateway) -> None:
    await ask(make_model(max_tokens=50), "Hello", max_completion_tokens=7)
    assert gateway.last_request.json["max_tokens"] == 7
    await ask(make_model(max_tokens=50), "Hello", max_completion_tokens=None)
    assert "max_tokens" not in gateway.last_request.json


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2, got 'hot'"),
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1, got 0"),
        ({"stop": [1]}, "stop must be a string or a list of strings"),
        ({"reasoning": "high"}, "reasoning must be a dict, got str.*reasoning_effort="),
    ],
)
async def test_a_call_is_checked_before_anything_is_paid(
    ask: Any, make_model: Any, gateway: LocalGateway, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"ChatKiloCode: {said}"):
        await ask(make_model(), "Hello", **wrong)
    assert gateway.chat_requests == []
    with pytest.raises(ConfigurationError, match=said):
        make_model().bind(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2, got 'hot'"),
        ({"stop": 3}, "stop must be a string or a list of strings, got 3"),
        ({"reasoning": "high"}, "reasoning must be a dict, got str.*reasoning_effort="),
        ({"model": None}, "model must be the id of a model.*got None"),
    ],
)
def test_a_constructor_says_what_it_takes(make_model: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ChatKiloCode cannot take these settings: {said}"):
        make_model(**wrong)


def test_a_header_that_cannot_be_sent_is_named_and_not_shown(make_model: Any) -> None:
    with pytest.raises(ConfigurationError, match="The header 'a' cannot be sent") as caught:
        make_model(default_headers={"a": b"secret-1", "b": 3})
    assert "secret-1" not in str(caught.value)
