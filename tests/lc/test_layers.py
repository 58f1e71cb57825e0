"""A setting in one place wins over another place's, in whatever spelling each has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import ConfigurationError
from langchain_kilocode import errors
from tests.wrong_values import WRONG_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from langchain_kilocode import ChatKiloCode

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


@pytest.mark.parametrize(("wrong", "said"), WRONG_VALUES)
async def test_a_call_is_checked_before_anything_is_paid(
    ask: Any, make_model: Any, gateway: LocalGateway, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"ChatKiloCode: {said}"):
        await ask(make_model(), "Hello", **wrong)
    assert gateway.chat_requests == []
    with pytest.raises(ConfigurationError, match=said):
        make_model().bind(**wrong)


def _assigned(model: ChatKiloCode, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(model, name, value)


WAYS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "constructor": lambda make, given: make(**given),
    "model_kwargs": lambda make, given: make(model_kwargs=given),
    "model_copy": lambda make, given: make().model_copy(update=given),
    "model_kwargs of a copy": lambda make, given: make().model_copy(update={"model_kwargs": given}),
    "assignment": lambda make, given: _assigned(make(), given),
    "assigned model_kwargs": lambda make, given: _assigned(make(), {"model_kwargs": given}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("wrong", "said"), WRONG_VALUES)
def test_a_model_is_checked_in_each_way_in_which_it_is_set(
    make_model: Any, way: str, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^ChatKiloCode cannot take these settings: {said}") as caught:
        WAYS[way](make_model, wrong)
    assert isinstance(caught.value, errors.ConfigurationError)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("way", ["constructor", "model_kwargs"])
def test_a_model_must_be_named(make_model: Any, way: str) -> None:
    with pytest.raises(ConfigurationError, match=r"settings: model must be the id of a model.*got None"):
        WAYS[way](make_model, {"model": None})


def test_what_a_field_can_read_is_no_wrong_value(make_model: Any, gateway: LocalGateway) -> None:
    make_model(temperature="0.5", max_tokens="5", response_format={"type": "json_object"}).invoke("Hello")
    sent = gateway.last_request.json
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 5)


def test_a_refused_assignment_changes_nothing(make_model: Any) -> None:
    model = make_model(temperature=0.5)
    with pytest.raises(ConfigurationError):
        model.temperature = 3
    assert model.temperature == 0.5


def test_a_header_that_cannot_be_sent_is_named_and_not_shown(make_model: Any) -> None:
    with pytest.raises(ConfigurationError, match="The header 'a' cannot be sent") as caught:
        make_model(default_headers={"a": b"secret-1", "b": 3})
    assert "secret-1" not in str(caught.value)
