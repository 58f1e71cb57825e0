"""A setting in one place wins over another place's, in whatever spelling each has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
