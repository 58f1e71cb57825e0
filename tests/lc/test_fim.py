"""Gaps in code: what goes out, and what comes back in each way of asking."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from typing import Any

import openai
import pytest
from langchain_core import exceptions as core

import kilocode_gateway as ours
from kilocode_gateway import track_usage
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeFIM
from tests.core.helpers import eventually, soon
from tests.lc.fim_ways import AFTER, BEFORE, INFO, STREAMED, USAGE, abatch, batch, told

PATH = "/api/fim/completions"


async def _generate(fim: Any, prompts: list[str], **settings: Any) -> Any:
    return fim.generate(prompts, **settings)


async def _agenerate(fim: Any, prompts: list[str], **settings: Any) -> Any:
    return await fim.agenerate(prompts, **settings)


@pytest.fixture(params=[_generate, _agenerate], ids=["generate", "agenerate"])
def generate(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_what_goes_out(fill: Any, fim: Any, gateway: Any) -> None:
    assert await fill(fim, BEFORE) == "a + b"
    sent = gateway.last_request
    assert (sent.method, sent.path, sent.query) == ("POST", PATH, "")
    assert sent.authorization == f"Bearer {gateway.api_key}"
    streamed = {"stream": True} if fill in STREAMED else {}
    assert sent.json == {"model": "mistralai/codestral-2508", "prompt": BEFORE, "max_tokens": 256, **streamed}
    assert len(gateway.requests) == 1


SETTINGS = {"suffix": AFTER, "max_tokens": 9, "min_tokens": 1, "temperature": 0.5, "stop": "\n"}
SENT = {**SETTINGS, "prompt": BEFORE, "stop": ["\n"]}


async def test_settings_of_the_model(fill: Any, make_fim: Any, gateway: Any) -> None:
    await fill(make_fim(**SETTINGS, model="kilocode/inception/mercury-edit-2"), BEFORE)
    sent = {name: value for name, value in gateway.last_request.json.items() if name != "stream"}
    assert sent == {**SENT, "model": "inception/mercury-edit-2"}


async def test_settings_of_a_call_win(fill: Any, make_fim: Any, gateway: Any) -> None:
    fim = make_fim(suffix="x", max_tokens=1, min_tokens=0, temperature=1, stop=["x", "y"])
    before = repr(fim)
    await fill(fim, BEFORE, **SETTINGS, model="inception/mercury-edit-2")
    sent = {name: value for name, value in gateway.last_request.json.items() if name != "stream"}
    assert sent == {**SENT, "model": "inception/mercury-edit-2"}
    assert repr(fim) == before
    await fill(fim.bind(suffix="z", stop=["w"]), BEFORE)
    assert (gateway.last_request.json["suffix"], gateway.last_request.json["stop"]) == ("z", ["w"])
    await fill(fim, BEFORE, suffix=None, max_tokens=None)
    assert (gateway.last_request.json["suffix"], gateway.last_request.json["max_tokens"]) == ("x", 1)


@pytest.mark.parametrize("tokens", [0, 1001, 256.0, "256", True])
async def test_max_tokens_outside_the_limits_is_refused(fill: Any, make_fim: Any, gateway: Any, tokens: Any) -> None:
    words = "max_tokens must be a whole number from 1 to 1000"
    with pytest.raises(ours.ConfigurationError, match=words) as caught:
        make_fim(max_tokens=tokens)
    assert "pydantic" not in str(caught.value)
    with pytest.raises(ours.ConfigurationError, match=words):
        await fill(make_fim(), BEFORE, max_tokens=tokens)
    for wrong in (
        lambda: make_fim().bind(max_tokens=tokens),
        lambda: make_fim().model_copy(update={"max_tokens": tokens}),
        lambda: setattr(make_fim(), "max_tokens", tokens),
    ):
        with pytest.raises(ours.ConfigurationError, match=words):
            wrong()
    assert gateway.requests == []


async def test_max_tokens_is_sent_even_when_none_are_asked_for(fill: Any, make_fim: Any, gateway: Any) -> None:
    await fill(make_fim(max_tokens=None), BEFORE)
    assert gateway.last_request.json["max_tokens"] == 256


async def test_unknown_names_are_refused(fill: Any, fim: Any, make_fim: Any, gateway: Any) -> None:
    for name, near in {"sufix": "suffix", "max_token": "max_tokens", "stops": "stop"}.items():
        with pytest.raises(ours.UnknownSettingError, match=f"KiloCodeFIM has no setting '{name}'.*'{near}'"):
            make_fim(**{name: 1})
        with pytest.raises(ours.UnknownSettingError, match=f"'{name}'. Did you mean '{near}'"):
            await fill(fim, BEFORE, **{name: 1})
        with pytest.raises(ours.UnknownSettingError, match=f"'{near}'"):
            fim.bind(**{name: 1})
        with pytest.raises(ours.UnknownSettingError, match=f"'{near}'"):
            fim.model_copy(update={name: 1})
    for name in ("api_key", "timeout", "request_timeout", "max_retries"):
        with pytest.raises(ours.UnknownSettingError, match=f"'{name}' is a setting of the model, not of a call"):
            await fill(fim, BEFORE, **{name: 1})
    assert gateway.requests == []


async def test_openai_variables_are_not_read(fill: Any, make_gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, gateway = make_gateway(), make_gateway()
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID", "PROXY"):
        monkeypatch.setenv(f"OPENAI_{name}", "canary")
    monkeypatch.setenv("OPENAI_BASE_URL", trap.base_url)
    monkeypatch.setenv("OPENAI_API_BASE", trap.base_url)
    await fill(KiloCodeFIM(base_url=gateway.base_url, api_key="k"), BEFORE)
    assert trap.requests == []
    assert "canary" not in json.dumps([gateway.last_request.headers, gateway.last_request.json])
    assert KiloCodeFIM().gateway_config.api_key is None


async def test_connection_settings_are_used(fill: Any, make_fim: Any, gateway: Any) -> None:
    gateway.script(Reply.error("service_unavailable_503"))
    fim = make_fim(organization_id="org-1", feature="mine", default_headers={"X-More": "1"}, max_retries=1, timeout=7)
    assert await fill(fim, BEFORE, suffix=AFTER) == "a + b"
    headers = gateway.last_request.headers
    assert (headers["x-kilocode-organizationid"], headers["x-kilocode-feature"], headers["x-more"]) == (
        "org-1",
        "mine",
        "1",
    )
    assert len(gateway.requests) == 2
    assert fim._transport()._timeouts["read"] == 7


async def test_without_a_key_nothing_is_sent(fill: Any) -> None:
    with pytest.raises(ours.AuthenticationError, match=r"no API key is set, so nothing was sent") as caught:
        await fill(KiloCodeFIM(), BEFORE)
    assert "`python -m kilocode_gateway serve`" in str(caught.value)
    assert "free" not in str(caught.value)
    assert isinstance(caught.value, (openai.AuthenticationError, core.ModelAuthenticationError))


async def test_errors_are_what_each_user_catches(fill: Any, make_fim: Any, gateway: Any, make_gateway: Any) -> None:
    with pytest.raises(ours.ModelNotFoundError, match="'mistralai/codestral-2508' or 'inception/") as caught:
        await fill(make_fim(model="anthropic/claude-sonnet-4.6"), BEFORE)
    assert isinstance(caught.value, openai.NotFoundError)
    assert isinstance(caught.value, core.ModelNotFoundError)
    assert caught.value.url == gateway.base_url.replace("/api/gateway/", PATH)
    broke = make_gateway(balance=0, api_keys=["right"])
    with pytest.raises(ours.InsufficientBalanceError, match="Insufficient credits"):
        await fill(make_fim(base_url=broke.base_url, api_key="right"), BEFORE)
    with pytest.raises(ours.AuthenticationError, match="wrong, expired or revoked"):
        await fill(make_fim(base_url=broke.base_url, api_key="other"), BEFORE)


@pytest.mark.parametrize("model", ["mistralai/codestral-2508", "inception/mercury-edit-2"])
async def test_stream_that_breaks_off(fill_streamed: Any, make_fim: Any, gateway: Any, model: str) -> None:
    bare = model.startswith("inception")
    half = {"text": "a +"} if bare else {"delta": {"content": "a +"}}
    for done in (True, False):
        gateway.script(Reply.chunks([{"id": "1", "choices": [{"index": 0, "finish_reason": None, **half}]}], done=done))
        with pytest.raises(ours.StreamInterruptedError) as caught:
            await fill_streamed(make_fim(model=model), BEFORE)
        assert caught.value.text == "a +"
    gateway.script(Reply.text("a + b + c + d", reset_after=480))
    with pytest.raises(ours.StreamInterruptedError) as caught:
        await fill_streamed(make_fim(model=model), BEFORE)
    assert caught.value.text.startswith("a")
    assert len(caught.value.text) < len("a + b + c + d")


async def test_error_in_the_middle_of_a_stream(fill_streamed: Any, fim: Any, gateway: Any) -> None:
    gateway.script(Reply.error("stream_error_mid"))
    with pytest.raises(ours.RateLimitError) as caught:
        await fill_streamed(fim, BEFORE)
    assert caught.value.text


async def test_generate_tells_usage_and_cost(generate: Any, fim: Any, gateway: Any) -> None:
    gateway.script(*(Reply.text(text, usage=USAGE, finish_reason="length") for text in ("a", "b")))
    with track_usage() as used:
        result = await generate(fim, ["x = ", "y = "])
    assert sorted(row[0].text for row in result.generations) == ["a", "b"]
    assert [told(row[0].generation_info) for row in result.generations] == [INFO, INFO]
    assert result.llm_output == {
        "model_provider": "kilocode",
        "model_name": "codestral-2508",
        "token_usage": {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20},
        "cost": 0.5,
    }
    assert (used.total.calls, used.total.total_tokens, float(used.total.cost)) == (2, 20, 0.5)


async def test_several_prompts_keep_their_order(generate: Any, fim: Any, gateway: Any) -> None:
    prompts = [f"def f{number}(x{number}):\n    return " for number in range(5)]
    result = await generate(fim, prompts, suffix=AFTER)
    assert [row[0].text for row in result.generations] == [f"x{number}" for number in range(5)]
    assert sorted(request.json["prompt"] for request in gateway.requests) == prompts
    assert {request.json["suffix"] for request in gateway.requests} == {AFTER}


async def test_what_is_not_told_stays_unknown(generate: Any, fim: Any, gateway: Any) -> None:
    plain = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    gateway.script(Reply.raw(200, plain), Reply.text("y", usage=USAGE))
    result = await generate(fim, ["a", "b"])
    assert set(result.llm_output) == {"model_provider", "model_name"}
    (first,) = [row[0] for row in result.generations if row[0].text == "x"]
    assert first.generation_info == {
        "model_provider": "kilocode",
        "model_name": "mistralai/codestral-2508",
        "requested_model": "mistralai/codestral-2508",
        "finish_reason": "stop",
    }


async def test_usage_is_counted(fill: Any, fim: Any, gateway: Any) -> None:
    gateway.script(Reply.text("a", usage=USAGE))
    with track_usage() as used:
        await fill(fim, BEFORE)
        await fill(fim, BEFORE)
    assert (used.total.calls, float(used.total.cost), used.total.calls_without_cost) == (2, 0.25, 1)
    assert used.total.output_tokens == 6


async def test_budget(fill: Any, fim: Any, gateway: Any) -> None:
    gateway.script(Reply.text("a", usage=USAGE))
    with track_usage(limit_usd="0.2"):
        await fill(fim, BEFORE)
        with pytest.raises(ours.BudgetExceededError):
            await fill(fim, BEFORE)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("config", [None, {"max_concurrency": 2}])
@pytest.mark.parametrize("fill", [batch, abatch])
async def test_batch_says_which_input_failed(fill: Any, fim: Any, gateway: Any, config: Any) -> None:
    gateway.script(Reply.error("timeout_504"))
    prompts = [f"def f(x{number}):\n    return " for number in range(6)]
    settings = {"return_exceptions": True, "suffix": AFTER}
    found = fim.batch(prompts, config, **settings) if fill is batch else await fim.abatch(prompts, config, **settings)
    (failed,) = [number for number, answer in enumerate(found) if isinstance(answer, ours.UpstreamError)]
    assert [answer for answer in found if isinstance(answer, str)] == [f"x{n}" for n in range(6) if n != failed]
    assert {request.json["suffix"] for request in gateway.requests} == {AFTER}


def test_break_closes_the_connection(fim: Any, gateway: Any) -> None:
    gateway.script(Reply.text("More. " * 400, chunk_delay=0.02))
    for _piece in fim.stream(BEFORE):
        break
    assert eventually(lambda: gateway.disconnects)


async def test_end_of_an_async_stream_closes_the_connection(fim: Any, gateway: Any) -> None:
    gateway.script(Reply.text("More. " * 400, chunk_delay=0.02))
    async with aclosing(fim.astream(BEFORE)) as pieces:
        await anext(pieces)
    assert await soon(lambda: gateway.disconnects)


@pytest.mark.parametrize("where", ["constructor", "call"])
async def test_time_limits_of_a_whole_call(fill: Any, make_fim: Any, gateway: Any, where: str) -> None:
    limits = {"total_timeout": 0.25}
    gateway.script(Reply.text("a + b" * 2000, stall_after=900, stall=60.0))
    begin = time.monotonic()
    fim, call = (make_fim(**limits), {}) if where == "constructor" else (make_fim(), limits)
    with pytest.raises(ours.TimeoutExceededError, match="total_timeout"):
        await fill(fim, BEFORE, **call)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("ask", STREAMED)
async def test_first_token_in_time(ask: Any, make_fim: Any, gateway: Any) -> None:
    gateway.script(Reply.chunks([": KILO PROCESSING\n\n"] * 3000, chunk_delay=0.02))
    with pytest.raises(ours.TimeoutExceededError, match="first_token_timeout"):
        await ask(make_fim(first_token_timeout=0.25), BEFORE)


@pytest.mark.parametrize("wrong", [{"total_timeout": 0}, {"max_tokens": 5000}, {"sufix": "x"}])
async def test_wrong_settings_of_a_call_are_not_repeated(fill: Any, make_fim: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ours.ConfigurationError) as caught:
        await fill(make_fim(), BEFORE, **wrong)
    assert isinstance(caught.value, core.ModelError)
    assert not caught.value.is_retryable
