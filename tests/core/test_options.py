"""Settings of a call that are no fields of its request: they steer it, and are never in its body."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import wire
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.options import CallOptions
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask


def test_every_option_has_its_name_and_its_words() -> None:
    assert {field.name for field in dataclasses.fields(CallOptions)} == set(wire.OPTIONS)
    assert not set(wire.OPTIONS) & set(wire.PARAMETERS)


async def test_mode_and_task_travel_as_headers(gateway: LocalGateway, ask: Ask) -> None:
    transport = transport_to(gateway, headers={"X-Kilocode-Mode": "ask", "x-kilocode-taskid": "old", "X-More": "1"})
    await ask(transport, {**BODY, "mode": "plan", "task_id": " conversation-7 "})
    request = gateway.last_request
    assert request.headers["x-kilocode-mode"] == "plan"
    assert request.headers["x-kilocode-taskid"] == "conversation-7"
    assert request.headers["x-more"] == "1"
    assert [name.lower() for name, _ in request.header_pairs].count("x-kilocode-mode") == 1
    assert not set(wire.OPTIONS) & set(request.json)


@pytest.mark.parametrize("nothing", [{}, {"mode": None, "task_id": None}, {"mode": "", "task_id": "  "}])
async def test_nothing_is_sent_unless_set(gateway: LocalGateway, ask: Ask, nothing: dict[str, Any]) -> None:
    await ask(transport_to(gateway), {**BODY, **nothing})
    assert not {"x-kilocode-mode", "x-kilocode-taskid"} & set(gateway.last_request.headers)
    assert not set(nothing) & set(gateway.last_request.json)


async def test_users_own_headers_stay_where_nothing_is_set(gateway: LocalGateway, ask: Ask) -> None:
    await ask(transport_to(gateway, headers={"x-kilocode-mode": "ask"}), BODY)
    assert gateway.last_request.headers["x-kilocode-mode"] == "ask"


async def test_mode_chooses_the_model_of_an_auto_model(gateway: LocalGateway, ask: Ask) -> None:
    body = {**BODY, "model": "kilo-auto/frontier"}
    assert "opus" in (await ask(transport_to(gateway), {**body, "mode": "plan"})).model
    assert "sonnet" in (await ask(transport_to(gateway), {**body, "mode": "code"})).model
    assert "sonnet" in (await ask(transport_to(gateway), body)).model


@pytest.mark.parametrize("name", ["mode", "task_id"])
@pytest.mark.parametrize("wrong", [5, ["plan"], "pl\nan", "plän"])
async def test_what_cannot_stand_in_a_header_is_refused(gateway: LocalGateway, ask: Ask, name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        await ask(transport_to(gateway), {**BODY, name: wrong})
    assert gateway.requests == []


@pytest.mark.parametrize("seconds", [1e9, 10**400, float("inf")], ids=["years", "no float", "infinite"])
def test_more_seconds_than_a_clock_counts_are_no_limit(seconds: float) -> None:
    options = CallOptions.read({"total_timeout": seconds, "first_token_timeout": seconds})
    assert not options.deadline(stream=True).is_set


async def test_a_field_of_the_same_name_can_still_be_sent(gateway: LocalGateway, ask: Ask) -> None:
    await ask(transport_to(gateway), {**BODY, "extra_body": {"mode": "x"}})
    assert gateway.last_request.json["mode"] == "x"
