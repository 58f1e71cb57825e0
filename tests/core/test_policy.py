"""When to try again and how long to wait, and time limits in every form."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.error_bodies import retry_after
from kilocode_gateway.local import Reply
from kilocode_gateway.policy import RetryPolicy, timeouts_of
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

FAILED = core.UpstreamError("x")
POLICY = RetryPolicy(max_retries=2)


def test_the_wait_doubles_up_to_its_limit() -> None:
    policy = RetryPolicy(max_retries=10_000)
    assert [policy.wait(FAILED, attempt, jitter=0) for attempt in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert policy.wait(FAILED, 9_999, jitter=0) == 8


def test_jitter_takes_up_to_a_quarter() -> None:
    assert POLICY.wait(FAILED, 1, jitter=1) == 0.75
    waits = {POLICY.wait(FAILED, 0) for _ in range(200)}
    assert len(waits) > 100
    assert all(wait is not None and 0.375 <= wait <= 0.5 for wait in waits)


@pytest.mark.parametrize(("attempt", "again"), [(0, True), (1, True), (2, False), (3, False)])
def test_two_retries_are_three_attempts(attempt: int, again: bool) -> None:
    assert (POLICY.wait(FAILED, attempt) is not None) is again


def test_what_cannot_pass_is_not_tried_again() -> None:
    assert POLICY.wait(core.AuthenticationError("x"), 0) is None
    assert POLICY.wait(core.UpstreamError("x", retryable=False), 0) is None
    assert POLICY.wait(core.AuthenticationError("x", retryable=True), 0) is not None


@pytest.mark.parametrize(
    ("asked", "wait"), [(3.0, 3.0), (0.02, 0.02), (60.0, 60.0), (60.1, None), (1e9, None), (0.0, 0.5)]
)
def test_what_the_gateway_asks_for_is_heeded_up_to_a_minute(asked: float, wait: float | None) -> None:
    assert POLICY.wait(core.RateLimitError("x", retry_after=asked), 0, jitter=0) == wait


@pytest.mark.parametrize(("left", "wait"), [(0.6, 0.5), (0.5, None), (0.1, None), (0.0, None), (-1.0, None)])
def test_a_wait_that_would_outlast_the_call_is_not_begun(left: float, wait: float | None) -> None:
    assert POLICY.wait(FAILED, 0, left, jitter=0) == wait


NOW = 1_700_000_000.0


def _date(seconds: float, *, gmt: bool = True) -> str:
    return email.utils.formatdate(NOW + seconds, usegmt=gmt)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after": _date(20)}, 20.0),
        ({"retry-after": _date(20, gmt=False)}, 20.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:40"}, 20.0),
        ({"retry-after": _date(-20)}, 0.0),
        ({"retry-after": _date(86_400)}, 86_400.0),
        ({"retry-after": "999999999999"}, 999_999_999_999.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "Mon, 99 Foo 2023 99:99:99 GMT"}, None),
        ({"retry-after": "\u00b2"}, None),
    ],
    ids=repr,
)
def test_every_form_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
async def test_retry_after_is_waited_for(
    gateway: LocalGateway, ask: Ask, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    waits: list[float | None] = []
    wait = RetryPolicy.wait

    def noted(policy: RetryPolicy, *known: Any) -> float | None:
        waits.append(wait(policy, *known))
        return waits[-1]

    monkeypatch.setattr(RetryPolicy, "wait", noted)
    value = "0.1" if name == "retry-after" else "100"
    gateway.script(Reply.raw(429, {"error": "slow down"}, {name: value}), Reply.text("ok"))
    begin = time.monotonic()
    assert (await ask(transport_to(gateway, max_retries=1), BODY)).text == "ok"
    assert time.monotonic() - begin >= 0.1
    assert waits == [0.1]
    assert len(gateway.requests) == 2
    assert gateway.requests[0].body == gateway.requests[1].body


async def test_a_wait_beyond_a_minute_is_the_callers_to_decide(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.raw(429, {"error": "slow down"}, {"retry-after": "61"}))
    with pytest.raises(core.RateLimitError) as caught:
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert caught.value.retry_after == 61
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("name", ["upstream_502", "empty_500", "408", "529"])
async def test_failures_that_pass_are_tried_again(gateway: LocalGateway, ask: Ask, name: str) -> None:
    form = Reply.error(name, headers={"retry-after-ms": "1"})
    gateway.script(form, form, Reply.text("ok"))
    assert (await ask(transport_to(gateway, max_retries=2), BODY)).text == "ok"
    gateway.script(form, form, form, form)
    with pytest.raises(core.KiloCodeError):
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert len(gateway.requests) == 6


@pytest.mark.parametrize("name", ["invalid_token", "credit_402_paid_before", "model_not_allowed", "no_free_models"])
async def test_failures_that_stay_are_not(gateway: LocalGateway, ask: Ask, name: str) -> None:
    gateway.script(Reply.error(name))
    with pytest.raises(core.KiloCodeError):
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (5, (5, 5)),
        (600.0, (10.0, 600.0)),
        (None, (10.0, None)),
        ((3, 30.0), (3, 30.0)),
        ((3, None), (3, None)),
        ((None, 30), (10.0, 30)),
        (float("inf"), (10.0, None)),
        (1e12, (10.0, None)),
        ((1e12, 1e12), (None, None)),
    ],
    ids=repr,
)
def test_time_limits(timeout: object, expected: tuple[float | None, float | None]) -> None:
    connect, read = expected
    assert timeouts_of(timeout) == {"connect": connect, "read": read, "write": read, "pool": read}


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_time_limits_of_the_libraries(library: Any) -> None:
    limits = timeouts_of(library.Timeout(5.0, connect=1.0, pool=float("inf")))
    assert limits == {"connect": 1.0, "read": 5.0, "write": 5.0, "pool": None}


@pytest.mark.parametrize(
    "timeout", [0, -1, "5", True, float("nan"), (1,), (1, 2, 3), (0, 5), ("1", 5), [1, 2], {}], ids=repr
)
def test_what_is_no_time_limit(timeout: object) -> None:
    with pytest.raises(core.ConfigurationError, match="timeout must be a positive number of seconds"):
        timeouts_of(timeout)


@pytest.mark.parametrize("retries", [-1, 1.5, "2", None, True])
def test_what_is_no_number_of_retries(gateway: LocalGateway, retries: object) -> None:
    with pytest.raises(core.ConfigurationError, match="max_retries must be a whole number"):
        transport_to(gateway, max_retries=retries)
