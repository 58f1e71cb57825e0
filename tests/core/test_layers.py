"""Settings from several places become one, in whatever spelling they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import wire
from kilocode_gateway.local import Reply
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

LOW, LONG, HIGH = {"effort": "low"}, {"max_tokens": 500}, {"effort": "high"}
OFF = {"enabled": False}

THINKING: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"reasoning": LOW}, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    ({"reasoning": LONG}, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    ({"reasoning": OFF}, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    ({"reasoning_effort": "high"}, {"reasoning": LOW}, {"reasoning": LOW}),
    ({"reasoning_effort": "high"}, {"reasoning": LONG}, {"reasoning": LONG}),
    ({"reasoning_effort": "high"}, {"reasoning": OFF}, {"reasoning": OFF}),
    ({"reasoning": LOW}, {"reasoning": LONG}, {"reasoning": LONG}),
    ({"reasoning": LONG}, {"reasoning": HIGH}, {"reasoning": HIGH}),
    ({"reasoning": HIGH}, {"reasoning": OFF}, {"reasoning": OFF}),
    ({"reasoning_effort": "low"}, {"reasoning": None}, {}),
    ({"reasoning": LOW, "reasoning_effort": "low"}, {"reasoning": None}, {}),
    ({"reasoning": LOW}, {"reasoning_effort": None}, {}),
    ({"reasoning": LONG}, {"reasoning_effort": None}, {"reasoning": LONG}),
    ({"reasoning_effort": "low"}, {"reasoning_effort": None, "reasoning": LONG}, {"reasoning": LONG}),
    ({"reasoning": LOW}, {"reasoning": None, "reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    (
        {"reasoning_effort": "low"},
        {"reasoning": {"exclude": True}},
        {"reasoning_effort": "low", "reasoning": {"exclude": True}},
    ),
    (
        {"reasoning": {"exclude": True, "effort": "low"}},
        {"reasoning_effort": "high"},
        {"reasoning": {"exclude": True}, "reasoning_effort": "high"},
    ),
    ({"reasoning": LOW}, {"reasoning": {"enabled": True}}, {"reasoning": {"effort": "low", "enabled": True}}),
]


@pytest.mark.parametrize(("earlier", "later", "expected"), THINKING)
def test_the_later_word_on_thinking_wins_in_either_spelling(
    earlier: dict[str, Any], later: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert wire.put_together(earlier, later) == expected
    assert wire.put_together(earlier, {}, later) == expected


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ({"max_tokens": 50}, {"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 50}, {"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_tokens": 50}, {"max_completion_tokens": None}, {}),
        ({"max_tokens": 50}, {"max_tokens": None, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"max_tokens": 50}, {"max_completion_tokens": 7, "max_tokens": None}, {"max_tokens": 7}),
        ({}, {"max_completion_tokens": 7, "max_tokens": 8}, {"max_tokens": 7}),
        ({"seed": 1, "stop": ["a"]}, {"seed": None}, {"stop": ["a"]}),
    ],
)
def test_so_does_the_later_limit(earlier: dict[str, Any], later: dict[str, Any], expected: dict[str, Any]) -> None:
    assert wire.put_together(earlier, later) == expected


def test_what_came_stays_as_it_was() -> None:
    earlier: dict[str, Any] = {"reasoning": {"effort": "low", "exclude": True}, "provider": {"order": ["a"]}}
    wire.put_together(earlier, {"reasoning": {"max_tokens": 5}, "provider": {"sort": "price"}})
    assert earlier == {"reasoning": {"effort": "low", "exclude": True}, "provider": {"order": ["a"]}}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"reasoning": LONG}, {"reasoning": LONG}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"reasoning": None}, {}),
        ({"reasoning": {"exclude": True}}, {"reasoning": {"effort": "low", "exclude": True}}),
    ],
)
async def test_extra_body_is_such_a_layer_and_goes_as_it_is(
    gateway: LocalGateway, ask: Ask, extra: dict[str, Any], expected: dict[str, Any]
) -> None:
    gateway.script(Reply.text("Fine."))
    await ask(transport_to(gateway), {**BODY, "reasoning_effort": "low", "extra_body": extra})
    sent = gateway.last_request.json
    assert {name: value for name, value in sent.items() if name.startswith("reasoning")} == expected


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        (
            {"reasoning": LOW, "reasoning_effort": None},
            {"reasoning_effort": "high"},
            {"reasoning": None, "reasoning_effort": "high"},
        ),
        (
            {"reasoning": None, "reasoning_effort": "low"},
            {"reasoning": LONG},
            {"reasoning": LONG, "reasoning_effort": None},
        ),
        ({"reasoning": LOW, "seed": 1}, {"seed": 2}, {"seed": 2}),
        ({"reasoning": LOW}, {"reasoning": LONG}, {"reasoning": LONG}),
    ],
)
def test_a_change_takes_the_other_spelling_along(
    settings: dict[str, Any], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert {**wire.with_consequences(changes, settings)} == expected
