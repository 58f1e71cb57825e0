"""The call wins over `additional_kwargs`, and those over the fields, in whatever spelling each has a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode
    from tests.li.conftest import EntryPoint

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
async def test_the_call_wins(
    ask: EntryPoint,
    make_llm: Callable[..., KiloCode],
    gateway: LocalGateway,
    row: tuple[dict[str, Any], dict[str, Any], Any],
) -> None:
    own, later, expected = row
    for llm in (make_llm(**own), make_llm(additional_kwargs=own)):
        await ask(llm, **later)
        assert gateway.last_request.json.get("reasoning") == expected
        assert "reasoning_effort" not in gateway.last_request.json


@pytest.mark.parametrize(("own", "later", "expected"), BOTH_SPELLINGS)
def test_additional_kwargs_win_over_fields(
    make_llm: Callable[..., KiloCode],
    gateway: LocalGateway,
    own: dict[str, Any],
    later: dict[str, Any],
    expected: Any,
) -> None:
    make_llm(**own, additional_kwargs=later).complete("Hi.")
    assert gateway.last_request.json.get("reasoning") == expected


@pytest.mark.parametrize(("own", "changes", "expected"), BOTH_SPELLINGS)
def test_so_does_a_copys_change_or_an_assignment(
    make_llm: Callable[..., KiloCode],
    gateway: LocalGateway,
    own: dict[str, Any],
    changes: dict[str, Any],
    expected: Any,
) -> None:
    changed = make_llm(**own)
    for name, value in changes.items():
        setattr(changed, name, value)
    for llm in (make_llm(**own).model_copy(update=changes), changed):
        llm.complete("Hi.")
        assert gateway.last_request.json.get("reasoning") == expected
