"""Fallback models: another one is asked where a model fails before its first token, and the reply tells it."""

from __future__ import annotations

import json
import logging
import pickle
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import LocalGateway, Reply
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.transport import Transport
from kilocode_gateway.usage import track_usage
from tests.core.helpers import BODY, MODEL, time_limits, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.wire import Completion
    from tests.core.conftest import Ask

SECOND, THIRD = "openai/gpt-5.4", "google/gemini-2.5-flash"
BOTH = {**BODY, "fallback_models": [SECOND, THIRD]}
OK = Reply.text("ok")

HELPS = {
    "upstream_500": "UpstreamError",
    "upstream_502": "UpstreamError",
    "html_502": "UpstreamError",
    "empty_500": "UpstreamError",
    "service_unavailable_503": "UpstreamError",
    "no_free_models": "UpstreamError",
    "upstream_disconnect": "UpstreamError",
    "529": "UpstreamError",
    "timeout_504": "UpstreamError",
    "408": "TimeoutExceededError",
    "provider_returned_error_429": "RateLimitError",
    "rate_limit_free": "RateLimitError",
    "alpha_ended": "ModelNotFoundError",
    "unavailable_model": "ModelNotFoundError",
    "model_not_found": "ModelNotFoundError",
    "no_endpoints_404": "ModelNotFoundError",
    "error_in_200": "RateLimitError",
    "error_in_200_as_json_for_stream": "UpstreamError",
    "stream_error_first": "UpstreamError",
}
HELPS_NOT = [
    "invalid_request",
    "context_length_exceeded",
    "invalid_token",
    "paid_model_auth_required",
    "promotion_limit",
    "credit_402_never_paid",
    "account_restricted",
    "data_collection_required",
    "model_not_allowed",
    "413",
    "html_200",
    "bad_json_200",
    "redirect_307",
]


def _sent(gateway: LocalGateway) -> list[str]:
    return [request.json["model"] for request in gateway.chat_requests]


@pytest.mark.parametrize("name", HELPS)
async def test_next_model_answers(gateway: LocalGateway, ask: Ask, name: str, caplog: pytest.LogCaptureFixture) -> None:
    gateway.script(Reply.error(name), OK)
    with caplog.at_level(logging.WARNING, "kilocode_gateway"):
        answer = await ask(transport_to(gateway), BOTH)
    assert _sent(gateway) == [MODEL, SECOND]
    assert answer.text == "ok"
    assert (answer.requested_model, answer.fallback_model, answer.model) == (MODEL, SECOND, SECOND)
    (failed,) = answer.failed_models
    assert (failed["model"], failed["error"]) == (MODEL, HELPS[name])
    assert failed["message"]
    assert json.loads(json.dumps(failed)) == failed
    (record,) = caplog.records
    assert MODEL in record.getMessage()
    assert SECOND in record.getMessage()


async def test_rest_of_the_request_is_the_same(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("529"), OK)
    await ask(transport_to(gateway), {**BOTH, "temperature": 0.5, "extra_body": {"x": 1}})
    first, second = (request.json for request in gateway.chat_requests)
    assert "fallback_models" not in first
    assert {**first, "model": SECOND} == second


@pytest.mark.parametrize("name", HELPS_NOT)
async def test_what_every_model_would_refuse_is_raised(gateway: LocalGateway, ask: Ask, name: str) -> None:
    gateway.script(Reply.error(name), OK)
    with pytest.raises(core.KiloCodeError) as caught:
        await ask(transport_to(gateway), BOTH)
    assert _sent(gateway) == [MODEL]
    assert "failed_models" not in caught.value.details


async def test_when_all_fail_the_last_error_tells_of_the_others(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("529"), Reply.error("alpha_ended"), Reply.error("rate_limit_free"), OK)
    with pytest.raises(core.RateLimitError) as caught:
        await ask(transport_to(gateway, errors=OPENAI_ERRORS), BOTH)
    assert _sent(gateway) == [MODEL, SECOND, THIRD]
    error = caught.value
    assert error.model == THIRD
    assert [failed["model"] for failed in error.details["failed_models"]] == [MODEL, SECOND]
    assert f"'{MODEL}' (UpstreamError), '{SECOND}' (ModelNotFoundError)" in str(error)
    assert pickle.loads(pickle.dumps(error)).details == error.details


async def test_first_model_that_answers_tells_of_no_fallback(gateway: LocalGateway, ask: Ask) -> None:
    answer = await ask(transport_to(gateway), BOTH)
    assert (answer.fallback_model, answer.failed_models) == (None, [])
    assert _sent(gateway) == [MODEL]


async def test_each_model_has_its_own_attempts(gateway: LocalGateway, ask: Ask) -> None:
    busy = Reply.raw(503, {"error": "busy"}, {"retry-after-ms": "1"})
    gateway.script(*[busy] * 8, OK)
    answer = await ask(transport_to(gateway, max_retries=2), BOTH)
    assert answer.text == "ok"
    assert _sent(gateway) == [MODEL] * 3 + [SECOND] * 3 + [THIRD] * 3
    assert [failed["model"] for failed in answer.failed_models] == [MODEL, SECOND]


@pytest.mark.parametrize("reference", ["kilocode/openai/gpt-5.4", " openai/gpt-5.4 "])
async def test_fallbacks_take_every_form_of_a_name(gateway: LocalGateway, ask: Ask, reference: str) -> None:
    gateway.script(Reply.error("529"), OK)
    answer = await ask(transport_to(gateway), {**BODY, "fallback_models": [reference]})
    assert _sent(gateway) == [MODEL, SECOND]
    assert answer.fallback_model == SECOND


async def test_kilo_auto_as_a_fallback_goes_by_the_name_that_the_gateway_knows(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("529"))
    answer = await ask(transport_to(gateway), {**BODY, "fallback_models": ("kilo/auto",)})
    assert _sent(gateway) == [MODEL, "kilo/auto", "kilo-auto/balanced"]
    assert answer.fallback_model == "kilo-auto/balanced"
    assert [failed["model"] for failed in answer.failed_models] == [MODEL]


# Streams

HEAD = {"id": "gen-1", "model": "m"}
FIRST = {**HEAD, "choices": [{"index": 0, "delta": {"content": "Half an"}}]}
BROKEN = {"error": {"code": 503, "message": "gone", "type": "upstream_disconnect"}, "choices": []}
ROLE = {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}


@pytest.mark.parametrize(
    "reply",
    [
        Reply.chunks([BROKEN], done=False),
        Reply.chunks([": KILO PROCESSING\n\n", ROLE, BROKEN]),
        Reply.chunks([ROLE], done=False),
        Reply.chunks([ROLE], done=True),
        Reply.error("stream_empty"),
        Reply.text("Half an answer", reset_after=len(": KILO PROCESSING\n\n")),
        Reply.text("Half an answer", cut_after=len(": KILO PROCESSING\n\n")),
    ],
)
async def test_stream_that_fails_before_its_first_token(gateway: LocalGateway, ask_streamed: Ask, reply: Reply) -> None:
    gateway.script(reply, OK)
    answer = await ask_streamed(transport_to(gateway), BOTH)
    assert answer.text == "ok"
    assert answer.fallback_model == SECOND


@pytest.mark.parametrize(
    "begin",
    [
        {"content": "Half an"},
        {"reasoning": "I think"},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": ""}}]},
    ],
)
async def test_stream_that_fails_after_its_first_token(
    gateway: LocalGateway, ask_streamed: Ask, begin: dict[str, Any]
) -> None:
    gateway.script(Reply.chunks([{**HEAD, "choices": [{"index": 0, "delta": begin}]}, BROKEN]), OK)
    with pytest.raises(core.UpstreamError) as caught:
        await ask_streamed(transport_to(gateway), BOTH)
    assert caught.value.text == begin.get("content", "")
    assert _sent(gateway) == [MODEL]


async def test_whole_answer_that_was_cut_is_not_bought_twice(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Half an answer", cut_after=40), Reply.text("Half an answer", cut_after=40), OK)
    with pytest.raises(core.StreamInterruptedError):
        transport_to(gateway).complete(BOTH)
    with pytest.raises(core.StreamInterruptedError):
        await transport_to(gateway).acomplete(BOTH)
    assert _sent(gateway) == [MODEL] * 2


async def test_empty_answer_is_an_answer(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.text(""), OK)
    answer = await ask(transport_to(gateway), BOTH)
    assert (answer.text, answer.finish_reason, answer.fallback_model) == ("", "stop", None)


# Silence


Starts = Callable[..., LocalGateway]


def _first_is(reply: Reply) -> Callable[[Any], Reply]:
    """Answer well for every model but the first."""
    return lambda request: reply if request.json["model"] == MODEL else OK


async def _ask_a_second(ask: Ask, gateway: LocalGateway) -> Completion:
    for seconds in time_limits():
        try:
            answer = await ask(transport_to(gateway, timeout=seconds), BOTH)
        except core.TimeoutExceededError:
            continue
        if answer.fallback_model == SECOND:
            break
    return answer


async def test_model_that_is_silent(make_gateway: Starts, ask: Ask) -> None:
    answer = await _ask_a_second(ask, make_gateway(answer=_first_is(Reply.text("late", delay=60.0))))
    assert answer.text == "ok"
    assert answer.failed_models[0]["error"] == "TimeoutExceededError"


async def test_stream_that_falls_silent_before_its_first_token(make_gateway: Starts, ask_streamed: Ask) -> None:
    silent = Reply.text("late", stall_after=len(": KILO PROCESSING\n\n"), stall=60.0)
    answer = await _ask_a_second(ask_streamed, make_gateway(answer=_first_is(silent)))
    assert answer.text == "ok"


async def test_whole_answer_that_falls_silent_is_not_bought_twice(make_gateway: Starts) -> None:
    for seconds in time_limits():
        gateway = make_gateway(answer=_first_is(Reply.text("Half an answer", stall_after=40, stall=60.0)))
        try:
            await transport_to(gateway, timeout=seconds).acomplete(BOTH)
        except core.TimeoutExceededError:
            break
    assert _sent(gateway) == [MODEL]


async def test_gateway_that_takes_no_connection_has_no_other_models(ask: Ask) -> None:
    """The queue of a listening port is full: connecting runs out of time."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        config = GatewayConfig.resolve(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/", api_key="k")
        with pytest.raises(core.ConnectionFailedError) as caught:
            await ask(Transport(config, timeout=(0.3, 5.0), max_retries=0), BOTH)
        for filler in fillers:
            filler.close()
    assert "failed_models" not in caught.value.details
    assert caught.value.details["step"] == "connect"


# What stands around it


async def test_time_that_is_over_ends_it(make_gateway: Starts, ask: Ask) -> None:
    for seconds in time_limits():
        gateway = make_gateway(answer=_first_is(Reply.text("late", delay=60.0)))
        with pytest.raises(core.TimeoutExceededError, match="total_timeout"):
            await ask(transport_to(gateway), {**BOTH, "total_timeout": seconds})
        if _sent(gateway):
            break
    assert _sent(gateway) == [MODEL]


async def test_models_share_the_time(make_gateway: Starts, ask: Ask) -> None:
    replies = {MODEL: Reply.error("529"), SECOND: Reply.text("late", delay=60.0), THIRD: OK}
    for seconds in time_limits():
        gateway = make_gateway(answer=lambda request: replies[request.json["model"]])
        with pytest.raises(core.KiloCodeError) as caught:
            await ask(transport_to(gateway), {**BOTH, "total_timeout": seconds})
        if SECOND in _sent(gateway):
            break
    assert caught.value.details["limit"] == "total_timeout"
    assert _sent(gateway) == [MODEL, SECOND]
    assert [failed["model"] for failed in caught.value.details["failed_models"]] == [MODEL]


async def test_budget_is_checked_before_each_model(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(OK, Reply.error("529"), OK)
    with track_usage() as used:
        await ask(transport_to(gateway), BOTH)
        answer = await ask(transport_to(gateway), BOTH)
    assert used.total.calls == 2
    assert set(used.by_model) == {MODEL, SECOND}
    assert answer.fallback_model == SECOND


async def test_budget_that_a_failing_model_used_up_stops_the_next(gateway: LocalGateway, ask_streamed: Ask) -> None:
    spent = {**HEAD, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0, "cost": 0.5}}
    gateway.script(Reply.chunks([spent, BROKEN]), OK)
    with track_usage(limit_usd="0.1") as used, pytest.raises(core.BudgetExceededError) as caught:
        await ask_streamed(transport_to(gateway), BOTH)
    assert _sent(gateway) == [MODEL]
    assert float(used.total.cost) == 0.5
    assert [failed["model"] for failed in caught.value.details["failed_models"]] == [MODEL]


async def test_unreachable_gateway_has_no_other_models(ask: Ask) -> None:
    transport = Transport(GatewayConfig.resolve(base_url="http://127.0.0.1:9/", api_key="k"), max_retries=0)
    with pytest.raises(core.ConnectionFailedError) as caught:
        await ask(transport, BOTH)
    assert "failed_models" not in caught.value.details


@pytest.mark.parametrize("wrong", ["openai/gpt-5.4", [""], [5], {"a": 1}, 5])
async def test_wrong_list_is_refused_before_anything_is_sent(gateway: LocalGateway, ask: Ask, wrong: Any) -> None:
    with pytest.raises(core.ConfigurationError):
        await ask(transport_to(gateway), {**BODY, "fallback_models": wrong})
    assert gateway.requests == []


async def test_error_of_a_fallback_names_it(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("529"), Reply.error("invalid_request"))
    with pytest.raises(core.InvalidRequestError, match=SECOND) as caught:
        await ask(transport_to(gateway), BOTH)
    assert [failed["model"] for failed in caught.value.details["failed_models"]] == [MODEL]
