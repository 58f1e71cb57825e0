"""Gaps in code: what goes out, and what comes back in each of the four ways of asking."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import openai
import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.llms import ChatMessage, callbacks
from llama_index.core.prompts import PromptTemplate

import kilocode_gateway as ours
from kilocode_gateway import Catalog, track_usage
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCodeFIM
from tests.core.helpers import eventually, soon
from tests.li.conftest import EntryPoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

PATH = "/api/fim/completions"
KEY = "test-key-1"
BEFORE, AFTER = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25}
SETTINGS = {"suffix": AFTER, "max_tokens": 9, "min_tokens": 1, "temperature": 0.5, "stop": "\n"}
SENT = {**SETTINGS, "prompt": BEFORE, "stop": ["\n"]}


@pytest.fixture(params=["complete", "acomplete", "stream_complete", "astream_complete"])
def fill(request: pytest.FixtureRequest) -> EntryPoint:
    """Give each of the four ways to fill a gap."""
    return EntryPoint(request.param)


@pytest.fixture(params=["stream_complete", "astream_complete"])
def fill_streamed(request: pytest.FixtureRequest) -> EntryPoint:
    return EntryPoint(request.param)


@pytest.fixture
def make_fim(gateway: LocalGateway) -> Callable[..., KiloCodeFIM]:
    return lambda **settings: KiloCodeFIM(
        **{"api_key": KEY, "api_base": gateway.base_url, "max_retries": 0, **settings}
    )


@pytest.fixture
def fim(make_fim: Callable[..., KiloCodeFIM]) -> KiloCodeFIM:
    return make_fim()


def sent(gateway: LocalGateway) -> dict[str, Any]:
    """Give the last request's fields, but for the one that asks for a stream."""
    return {name: value for name, value in gateway.last_request.json.items() if name != "stream"}


async def test_what_goes_out_and_comes_back(fill: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    responses = await fill(fim, BEFORE)
    assert responses[-1].text == "a + b"
    if fill.streams:
        assert len(responses) > 2
        assert "".join(response.delta for response in responses) == "a + b"
        assert all(response.text == "a + b"[: len(response.text)] for response in responses)
    request = gateway.last_request
    assert (request.method, request.path, request.authorization) == ("POST", PATH, f"Bearer {KEY}")
    assert sent(gateway) == {"model": "mistralai/codestral-2508", "prompt": BEFORE, "max_tokens": 256}
    assert request.json.get("stream") is (True if fill.streams else None)
    assert len(gateway.requests) == 1


async def test_settings_of_the_llm(fill: EntryPoint, make_fim: Any, gateway: LocalGateway) -> None:
    await fill(make_fim(**SETTINGS, model="kilocode/inception/mercury-edit-2"), BEFORE)
    assert sent(gateway) == {**SENT, "model": "inception/mercury-edit-2"}


async def test_settings_of_a_call_win(fill: EntryPoint, make_fim: Any, gateway: LocalGateway) -> None:
    fim = make_fim(suffix="x", max_tokens=1, min_tokens=0, temperature=1, stop=["x", "y"])
    before = fim.to_dict()
    await fill(fim, BEFORE, **SETTINGS, model="inception/mercury-edit-2")
    assert sent(gateway) == {**SENT, "model": "inception/mercury-edit-2"}
    assert fim.to_dict() == before
    nothing = dict.fromkeys((*SETTINGS, "model"))
    await fill(fim, BEFORE, **nothing)
    assert sent(gateway) == {"model": "mistralai/codestral-2508", "prompt": BEFORE, "max_tokens": 256}


@pytest.mark.parametrize("tokens", [0, 1001, 256.0, "256", True])
async def test_max_tokens_outside_the_limits_is_refused(
    fill: EntryPoint, make_fim: Any, gateway: LocalGateway, tokens: Any
) -> None:
    words = "max_tokens must be a whole number from 1 to 1000"
    with pytest.raises(ours.ConfigurationError, match=words):
        make_fim(max_tokens=tokens)
    with pytest.raises(ours.ConfigurationError, match=words):
        await fill(make_fim(), BEFORE, max_tokens=tokens)
    for wrong in (
        lambda: make_fim().model_copy(update={"max_tokens": tokens}),
        lambda: setattr(make_fim(), "max_tokens", tokens),
    ):
        with pytest.raises(ours.ConfigurationError, match=words):
            wrong()
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sufix", "Did you mean 'suffix'"),
        ("max_output_tokens", "here it is called 'max_tokens'"),
        ("plugins", "It takes first_token_timeout, max_tokens"),
    ],
)
async def test_unknown_names_are_refused(
    fill: EntryPoint, make_fim: Any, gateway: LocalGateway, name: str, hint: str
) -> None:
    words = f"KiloCodeFIM has no setting '{name}'[.:] {hint}"
    with pytest.raises(ours.UnknownSettingError, match=words):
        make_fim(**{name: 1})
    with pytest.raises(ours.UnknownSettingError, match=words):
        await fill(make_fim(), BEFORE, **{name: 1})
    with pytest.raises(ours.UnknownSettingError, match=words):
        make_fim().model_copy(update={name: 1})
    assert gateway.requests == []


@pytest.mark.parametrize("name", ["api_key", "max_retries", "default_headers", "http_client", "callback_manager"])
async def test_settings_of_the_llm_are_none_of_a_call(fill: EntryPoint, fim: KiloCodeFIM, name: str) -> None:
    with pytest.raises(ours.UnknownSettingError, match="of the model, not of a call: give it to KiloCodeFIM") as caught:
        await fill(fim, BEFORE, **{name: "secret-1"})
    assert "secret-1" not in str(caught.value)


async def test_no_other_texts_are_filled(fill: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    for prompt in (5, None, b"def"):
        for formatted in (True, False):
            with pytest.raises(ours.ConfigurationError, match="prompt must be a text"):
                await fill(fim, prompt, formatted=formatted)
    with pytest.raises(ours.UnknownSettingError, match="call stream_chat or stream_complete"):
        await fill(fim, BEFORE, stream=True)
    assert gateway.requests == []


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_conversations_are_refused(fim: KiloCodeFIM, gateway: LocalGateway, method: str) -> None:
    words = rf"holds no conversations, so there is no {method}\(\)\. Call complete\(before, suffix=after\), or KiloCode"
    with pytest.raises(ours.ConfigurationError, match=words):
        await EntryPoint(method)(fim, [ChatMessage(role="user", content="Hi.")])
    assert gateway.requests == []


async def test_usage_and_cost_stand_in_the_response_and_are_counted(
    fill: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway
) -> None:
    gateway.script(Reply.text("a + b", usage=USAGE, finish_reason="length"))
    with track_usage() as used:
        responses = await fill(fim, BEFORE)
        await fill(fim, BEFORE)
    told = responses[-1].additional_kwargs
    assert told == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "cost": 0.25,
        "model": "codestral-2508",
        "requested_model": "mistralai/codestral-2508",
        "finish_reason": "length",
    }
    json.dumps([told, responses[-1].raw])
    assert all(response.additional_kwargs == {} for response in responses[:-1])
    assert (used.total.calls, float(used.total.cost), used.total.calls_without_cost) == (2, 0.25, 1)


async def test_budget(fill: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("a", usage=USAGE))
    with track_usage(limit_usd="0.2"):
        await fill(fim, BEFORE)
        with pytest.raises(ours.BudgetExceededError):
            await fill(fim, BEFORE)
    assert len(gateway.requests) == 1


async def test_without_a_key_nothing_is_sent(fill: EntryPoint) -> None:
    with pytest.raises(ours.AuthenticationError, match="no API key is set, so nothing was sent") as caught:
        await fill(KiloCodeFIM(), BEFORE)
    assert "`python -m kilocode_gateway serve`" in str(caught.value)
    assert "free" not in str(caught.value)
    assert isinstance(caught.value, openai.AuthenticationError)


async def test_errors_are_what_each_user_catches(fill: EntryPoint, make_fim: Any, make_gateway: Any) -> None:
    with pytest.raises(ours.ModelNotFoundError, match="'mistralai/codestral-2508' or 'inception/") as caught:
        await fill(make_fim(), BEFORE, model="anthropic/claude-sonnet-4.6")
    assert isinstance(caught.value, openai.NotFoundError)
    broke = make_gateway(balance=0, api_keys=["right"])
    with pytest.raises(ours.InsufficientBalanceError, match="Insufficient credits"):
        await fill(make_fim(api_base=broke.base_url, api_key="right"), BEFORE)
    with pytest.raises(ours.AuthenticationError, match="wrong, expired or revoked") as refused:
        await fill(make_fim(api_base=broke.base_url, api_key="other-key-1"), BEFORE)
    assert "other-key-1" not in str(refused.value) + repr(refused.value.facts())


async def test_what_may_pass_is_tried_again(fill: EntryPoint, make_fim: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.error("service_unavailable_503"))
    assert (await fill(make_fim(max_retries=1), BEFORE))[-1].text == "a + b"
    assert len(gateway.requests) == 2


async def test_a_stream_that_breaks_off_is_an_error(
    fill_streamed: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway
) -> None:
    half = [{"id": "1", "choices": [{"index": 0, "finish_reason": None, "delta": {"content": "a +"}}]}]
    for done in (True, False):
        gateway.script(Reply.chunks(half, done=done))
        with pytest.raises(ours.StreamInterruptedError) as caught:
            await fill_streamed(fim, BEFORE)
        assert caught.value.text == "a +"
    gateway.script(Reply.error("stream_error_mid"))
    with pytest.raises(ours.RateLimitError) as mid:
        await fill_streamed(fim, BEFORE)
    assert mid.value.text


@pytest.mark.parametrize("where", ["constructor", "call"])
async def test_time_limits_of_a_whole_call(fill: EntryPoint, make_fim: Any, gateway: LocalGateway, where: str) -> None:
    limits = {"total_timeout": 0.25}
    gateway.script(Reply.text("a + b" * 2000, stall_after=900, stall=60.0))
    fim, call = (make_fim(**limits), {}) if where == "constructor" else (make_fim(), limits)
    with pytest.raises(ours.TimeoutExceededError, match="total_timeout"):
        await fill(fim, BEFORE, **call)


async def test_time_limit_of_a_read(fill: EntryPoint, fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("a + b", delay=60.0))
    with pytest.raises(ours.TimeoutExceededError, match=r"0\.25"):
        await fill(fim, BEFORE, timeout=0.25)


async def test_first_token_in_time(fill_streamed: EntryPoint, make_fim: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks([": KILO PROCESSING\n\n"] * 3000, chunk_delay=0.02))
    with pytest.raises(ours.TimeoutExceededError, match="first_token_timeout"):
        await fill_streamed(make_fim(first_token_timeout=0.25), BEFORE)


def test_break_closes_the_connection(fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("More. " * 400, chunk_delay=0.02))
    for _piece in fim.stream_complete(BEFORE):
        break
    assert eventually(lambda: gateway.disconnects)


@pytest.mark.parametrize("method", ["acomplete", "astream_complete"])
async def test_cancelling_closes_the_connection(fim: KiloCodeFIM, gateway: LocalGateway, method: str) -> None:
    gateway.script(Reply.text("More. " * 2000, chunk_delay=0.02, stall_after=900, stall=60.0))
    task = asyncio.ensure_future(EntryPoint(method)(fim, BEFORE))
    assert await soon(lambda: gateway.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: gateway.disconnects)


def test_streams_left_under_a_listener_that_keeps_all_are_closed(
    make_fim: Any, gateway: LocalGateway, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fim = make_fim(callback_manager=CallbackManager([LlamaDebugHandler(print_trace_on_end=False)]))
    gateway.script(*[Reply.text("More. " * 400, chunk_delay=0.02)] * 3)

    async def last_act() -> None:
        async for _ in await fim.astream_complete(BEFORE):
            break

    async def closed() -> None:
        others = await fim.astream_complete(BEFORE)
        await anext(others)
        await others.aclose()

    pieces = fim.stream_complete(BEFORE)
    next(pieces)
    pieces.close()
    assert eventually(lambda: len(gateway.disconnects) == 1)
    asyncio.run(last_act())
    asyncio.run(closed())
    assert eventually(lambda: len(gateway.disconnects) == 3)
    assert recorder.seen
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_events_and_callbacks(fill: EntryPoint, make_fim: Any, gateway: LocalGateway, recorder: Any) -> None:
    counter, debug = TokenCountingHandler(), LlamaDebugHandler(print_trace_on_end=False)
    gateway.script(Reply.text("a + b", usage={**USAGE, "prompt_tokens": 111, "completion_tokens": 77}))
    responses = await fill(make_fim(callback_manager=CallbackManager([counter, debug])), BEFORE, suffix=AFTER)
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (111, 77)
    names = [type(event).__name__ for event in recorder.seen if "Completion" in type(event).__name__]
    between = ["LLMCompletionInProgressEvent"] * len(responses) if fill.streams else []
    assert names == ["LLMCompletionStartEvent", *between, "LLMCompletionEndEvent"]
    start = next(event for event in recorder.seen if type(event).__name__ == "LLMCompletionStartEvent")
    assert (start.model_dict["class_name"], start.prompt) == ("KiloCodeFIM", BEFORE)
    pairs = debug.get_event_pairs(CBEventType.LLM)
    assert len(pairs) == 1
    assert KEY not in str([event.model_dump() for event in recorder.seen]) + str([one.payload for one in pairs[0]])


@pytest.mark.parametrize("name", ["api_key", "default_headers", "extra_headers", "apikey"])
async def test_secrets_that_no_call_takes_reach_no_listener(
    fill: EntryPoint, make_fim: Any, recorder: Any, spans: Any, name: str
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    with pytest.raises(ours.UnknownSettingError):
        await fill(make_fim(callback_manager=CallbackManager([debug])), BEFORE, **{name: {"X-Secret": "secret-9"}})
    assert [recorder.seen, spans.seen, debug.get_event_pairs()] == [[], [], []]


async def test_no_event_is_built_where_nobody_listens(
    fill: EntryPoint, fim: KiloCodeFIM, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    for name in (name for name in vars(callbacks) if name.startswith("LLM") and name.endswith("Event")):
        monkeypatch.setattr(callbacks, name, lambda *_, name=name, **__: built.append(name))
    await fill(fim, BEFORE)
    assert built == []


async def test_a_stream_that_is_read_after_the_block_is_counted_in_it(fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    with track_usage() as used:
        pieces, others = fim.stream_complete(BEFORE), await fim.astream_complete(BEFORE)
    assert list(pieces)
    assert [piece async for piece in others]
    assert used.total.calls == 2


async def test_an_error_reaches_the_callbacks(fill: EntryPoint, make_fim: Any, gateway: LocalGateway) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    gateway.script(Reply.error("timeout_504"))
    with pytest.raises(ours.UpstreamError):
        await fill(make_fim(callback_manager=CallbackManager([debug])), BEFORE)
    assert "UpstreamError" in repr(debug.get_event_pairs(CBEventType.LLM)[-1][-1].payload)


def test_metadata_asks_nobody_and_tells_what_is_known(make_fim: Any, gateway: LocalGateway) -> None:
    told = make_fim(max_tokens=99).metadata
    assert (told.model_name, told.num_output, told.context_window) == ("mistralai/codestral-2508", 99, 128_000)
    assert (told.is_chat_model, told.is_function_calling_model) == (False, False)
    assert gateway.requests == []
    listed = Catalog.discover(base_url=gateway.base_url)["openai/gpt-5.4"].context_window
    assert listed != told.context_window
    assert make_fim(model="openai/gpt-5.4").metadata.context_window == listed
    assert make_fim(context_window=9_000).metadata.context_window == 9_000


def test_it_is_an_llm_of_the_framework(fim: KiloCodeFIM, gateway: LocalGateway) -> None:
    assert isinstance(fim, BaseLLM)
    assert fim.class_name() == "KiloCodeFIM"
    assert KiloCodeFIM("inception/mercury-edit-2").model == "inception/mercury-edit-2"
    assert fim.predict(PromptTemplate("def {name}(a, b):\n    return "), name="mul") == "a * b"
    assert gateway.last_request.json["prompt"] == "def mul(a, b):\n    return "


def test_a_users_own_shape_of_prompts(make_fim: Any, gateway: LocalGateway) -> None:
    fim = make_fim(completion_to_prompt=lambda text: f"# Python\n{text}")
    fim.complete(BEFORE)
    assert gateway.last_request.json["prompt"] == f"# Python\n{BEFORE}"
    fim.complete(BEFORE, formatted=True)
    assert gateway.last_request.json["prompt"] == BEFORE


@pytest.mark.parametrize(
    "again",
    [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy, lambda one: one.model_copy(deep=True)],
    ids=["pickle", "deepcopy", "copy", "model_copy"],
)
def test_copies_and_pickles_after_use(make_fim: Any, gateway: LocalGateway, again: Any) -> None:
    fim = make_fim(**SETTINGS, default_headers={"X-More": "1"})
    fim.complete(BEFORE)
    twin = again(fim)
    assert twin.to_dict() == fim.to_dict()
    twin.suffix, twin.api_key = "later", "test-key-2"
    asyncio.run(twin.acomplete(BEFORE))
    request = gateway.last_request
    assert (request.json["suffix"], request.headers["x-more"], request.key) == ("later", "1", "test-key-2")
    fim.complete(BEFORE)
    assert (gateway.last_request.json["suffix"], gateway.last_request.key) == (AFTER, KEY)


def test_a_key_from_the_environment_stays_there(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-env")
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    fim = KiloCodeFIM()
    fim.complete(BEFORE)
    assert gateway.last_request.key == "test-key-env"
    assert fim.api_key is None
    assert b"test-key-env" not in pickle.dumps(fim)


def test_the_key_may_come_from_a_function(make_fim: Any, gateway: LocalGateway) -> None:
    keys = ["first"]
    fim = make_fim(api_key=lambda: keys[-1])
    fim.complete(BEFORE)
    assert gateway.last_request.key == "first"
    keys.append("second")
    fim.complete(BEFORE)
    assert gateway.last_request.key == "second"


def test_the_key_shows_nowhere(make_fim: Any) -> None:
    fim = make_fim(default_headers={"X-Secret": "header-secret-1"})
    fim.complete(BEFORE)
    shown = [repr(fim), str(fim), fim.to_json(), str(fim.to_dict()), fim.model_dump_json()]
    shown += [repr(fim.__pydantic_private__), repr(fim.metadata)]
    assert not any(KEY in text or "header-secret-1" in text for text in shown)
