"""LangChain's retries, fallbacks and summaries: what may pass is repeated, what lasts is not, no budget breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, SummarizationMiddleware
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage

import kilocode_gateway as ours
from kilocode_gateway import track_usage
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeEmbeddings, KiloCodeFIM

if TYPE_CHECKING:
    from collections.abc import Callable

PASSING = ["rate_limit_free", "service_unavailable_503", "upstream_502", "408", "bad_json_200", "stream_error_first"]
LASTING = [
    "paid_model_auth_required",
    "promotion_limit",
    "credit_402_never_paid",
    "organization_denied",
    "model_not_allowed",
    "model_not_found",
    "invalid_request",
    "context_length_exceeded",
    "data_collection_required",
    "no_free_models",
    "redirect_308",
]
WAYS = ["invoke", "ainvoke"]
QUESTION = {"messages": [HumanMessage("Hello")]}


async def _run(agent: Any, way: str, question: Any = QUESTION, **settings: Any) -> str:
    result = agent.invoke(question, **settings) if way == "invoke" else await agent.ainvoke(question, **settings)
    return str(result["messages"][-1].text)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PASSING)
async def test_retry_middleware_repeats_what_may_pass(model: Any, gateway: Any, name: str, way: str) -> None:
    gateway.script(Reply.error(name), Reply.error(name), Reply.text("Well."))
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    assert await _run(create_agent(model, [], middleware=[again]), way) == "Well."
    assert len(gateway.chat_requests) == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LASTING)
async def test_retry_middleware_repeats_nothing_that_lasts(model: Any, gateway: Any, name: str, way: str) -> None:
    gateway.script(*[Reply.error(name)] * 3)
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    with pytest.raises(ours.KiloCodeError):
        await _run(create_agent(model, [], middleware=[again]), way)
    assert len(gateway.chat_requests) == 1


class Failures(BaseCallbackHandler):
    """Counts the calls that failed."""

    count = 0

    def on_llm_error(self, *_: Any, **__: Any) -> None:
        self.count += 1


@pytest.mark.parametrize("way", WAYS)
async def test_retry_middleware_does_not_repeat_what_cannot_be_sent(model: Any, gateway: Any, way: str) -> None:
    failures = Failures()
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    agent = create_agent(model, [], middleware=[again])
    picture = {"messages": [HumanMessage([{"type": "image"}])]}
    with pytest.raises(ours.ConfigurationError) as caught:
        await _run(agent, way, picture, config={"callbacks": [failures]})
    assert (failures.count, gateway.requests) == (1, [])
    assert isinstance(caught.value, core.ModelError)
    with pytest.raises(ours.UnknownSettingError) as unknown:
        model.invoke("Hello", temprature=1)
    assert isinstance(unknown.value, core.ModelError)
    assert not unknown.value.is_retryable


RETRIED = (core.ModelRateLimitError, core.ModelAPIError, core.ModelConnectionError, core.ModelTimeoutError)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "sent"), [*((name, 2) for name in PASSING), *((name, 1) for name in LASTING[:1])])
async def test_with_retry_by_langchains_own_types(model: Any, gateway: Any, name: str, sent: int, way: str) -> None:
    gateway.script(Reply.error(name), Reply.text("Well."))
    again = model.with_retry(retry_if_exception_type=RETRIED, wait_exponential_jitter=False, stop_after_attempt=2)
    try:
        answer = again.invoke("Hello") if way == "invoke" else await again.ainvoke("Hello")
        assert answer.text == "Well."
    except ours.KiloCodeError:
        assert sent == 1
    assert len(gateway.chat_requests) == sent


@pytest.mark.parametrize("name", [*PASSING, *LASTING])
async def test_fallback_before_the_first_token(ask: Any, make_model: Any, gateway: Any, name: str) -> None:
    gateway.script(Reply.error(name), Reply.text("From the second."))
    both = make_model().with_fallbacks([make_model(model="openai/gpt-5.4")])
    assert (await ask(both, "Hello")).text == "From the second."
    assert [request.json["model"] for request in gateway.chat_requests] == [
        "anthropic/claude-sonnet-4.6",
        "openai/gpt-5.4",
    ]


async def test_no_fallback_after_the_first_token(ask_streamed: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.error("stream_error_mid_with_choices"), Reply.text("From the second."))
    both = make_model().with_fallbacks([make_model(model="openai/gpt-5.4")])
    with pytest.raises(ours.UpstreamError) as caught:
        await ask_streamed(both, "Hello")
    assert caught.value.text == "Half of an answer is here, and then"
    assert len(gateway.chat_requests) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_fallback_middleware(make_model: Any, gateway: Any, way: str) -> None:
    gateway.script(Reply.error("model_not_found"), Reply.text("From the second."))
    agent = create_agent(make_model(), [], middleware=[ModelFallbackMiddleware(make_model(model="openai/gpt-5.4"))])
    assert await _run(agent, way) == "From the second."
    assert gateway.last_request.json["model"] == "openai/gpt-5.4"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["context_length_exceeded", "context_length_upstream", "context_length_feb_500"])
async def test_overflow_makes_the_summary_shorter(model: Any, gateway: Any, name: str, way: str) -> None:
    # SummarizationMiddleware asks once more with the middle cut out, when the messages to sum up do not fit.
    middleware = SummarizationMiddleware(
        model, trigger=("messages", 3), keep=("messages", 1), trim_tokens_to_summarize=None
    )
    gateway.script(Reply.error(name), Reply.text("A summary."), Reply.text("Done."))
    messages = [*(HumanMessage(f"{number} " + "word " * 500) for number in range(8)), HumanMessage("Well?")]
    assert await _run(create_agent(model, [], middleware=[middleware]), way, {"messages": messages}) == "Done."
    first, second, last = [str(request.json["messages"]) for request in gateway.chat_requests]
    assert len(second) < len(first) * 0.8
    assert "A summary." in last


@pytest.mark.parametrize("way", WAYS)
async def test_overflow_of_the_conversation_itself_is_told_once(model: Any, gateway: Any, way: str) -> None:
    gateway.script(*[Reply.error("context_length_exceeded")] * 2)
    middleware = [
        SummarizationMiddleware(model, trigger=("messages", 10)),
        ModelRetryMiddleware(initial_delay=0, on_failure="error"),
    ]
    with pytest.raises(core.ContextOverflowError):
        await _run(create_agent(model, [], middleware=middleware), way)
    assert len(gateway.chat_requests) == 1


async def test_used_up_budget_is_not_spent_by_a_fallback(ask: Any, make_model: Any, gateway: Any) -> None:
    both = make_model().with_fallbacks([make_model(model="openai/gpt-5.4"), make_model(model="x-ai/grok-4")])
    with track_usage(limit_usd=0), pytest.raises(ours.BudgetExceededError) as caught:
        await ask(both, "Hello")
    assert isinstance(caught.value, core.ModelError)
    assert not caught.value.is_retryable
    assert gateway.requests == []


async def test_used_up_budget_is_not_asked_for_again(ask: Any, model: Any, gateway: Any) -> None:
    again = model.with_retry(retry_if_exception_type=RETRIED, wait_exponential_jitter=False)
    failures = Failures()
    with track_usage(limit_usd=0), pytest.raises(ours.BudgetExceededError):
        await ask(again, "Hello", config={"callbacks": [failures]})
    assert (failures.count, gateway.requests) == (1, [])


@pytest.mark.parametrize("way", WAYS)
async def test_used_up_budget_in_an_agent(make_model: Any, gateway: Any, way: str) -> None:
    failures = Failures()
    middleware = [
        ModelFallbackMiddleware(make_model(model="openai/gpt-5.4")),
        ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error"),
    ]
    agent = create_agent(make_model(), [], middleware=middleware)
    with track_usage(limit_usd=0), pytest.raises(ours.BudgetExceededError):
        await _run(agent, way, config={"callbacks": [failures]})
    assert (failures.count, gateway.requests) == (2, [])


def test_models_with_fallbacks_take_tools_and_schemas(make_model: Any, gateway: Any) -> None:
    falling = make_model(model="nobody/no-such-model").with_fallbacks([make_model()])
    schema = {"title": "Joke", "type": "object", "properties": {"setup": {"type": "string"}}, "required": ["setup"]}
    assert falling.bind_tools([schema], tool_choice="any").invoke("A joke.").tool_calls
    assert falling.with_structured_output(schema).invoke("A joke.").keys() == {"setup"}
    assert [request.json["model"] for request in gateway.chat_requests][:2] == [
        "nobody/no-such-model",
        "anthropic/claude-sonnet-4.6",
    ]


def _fails() -> str:
    message = "The vault is closed."
    raise OSError(message)


REFUSED: dict[str, Callable[[Any], object]] = {
    "an unknown setting": lambda make: make(temprature=1),
    "a value of a wrong type": lambda make: make(model=5),
    "a wrong number of retries": lambda make: make(max_retries=-1),
    "a wrong address": lambda make: make(base_url="nowhere"),
    "a wrong key": lambda make: make(api_key=5),
    "a wrong option": lambda make: make(fallback_models="kilo/auto"),
    "a wrong option in a copy": lambda make: make().model_copy(update={"temprature": 1}),
    "a wrong client": lambda make: make(http_client=object()).invoke("Hello"),
    "an async client": lambda make: make(http_client=httpx.AsyncClient()).invoke("Hello"),
    "a setting that is no JSON": lambda make: make(extra_body={"a": {1}}).invoke("Hello"),
    "a model without a name": lambda make: make().invoke("Hello", model=""),
    "messages in extra_body": lambda make: make().invoke("Hello", extra_body={"messages": []}),
    "a schema that is none": lambda make: make().with_structured_output(5),
    "a tool that is none": lambda make: make().bind_tools([5]),
    "a choice of no tool": lambda make: make().bind_tools([], tool_choice="weather"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_langchain_is_told_that_it_is_no_use_to_repeat(make_model: Any, what: str) -> None:
    with pytest.raises(ours.ConfigurationError) as caught:
        REFUSED[what](make_model)
    assert isinstance(caught.value, core.ModelError)
    assert not caught.value.is_retryable


@pytest.mark.parametrize("way", WAYS)
async def test_retry_middleware_does_not_repeat_a_wrong_client(make_model: Any, gateway: Any, way: str) -> None:
    failures = Failures()
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    agent = create_agent(make_model(http_client=object(), http_async_client=object()), [], middleware=[again])
    with pytest.raises(ours.ConfigurationError, match="Expected a client of httpx or httpx2"):
        await _run(agent, way, config={"callbacks": [failures]})
    assert (failures.count, gateway.requests) == (1, [])


@pytest.mark.parametrize("made", [KiloCodeEmbeddings, KiloCodeFIM])
def test_other_classes_tell_langchain_too(made: Any, gateway: Any) -> None:
    settings = {"base_url": gateway.base_url, "api_key": gateway.api_key}
    asked = made(**settings, http_client=object())
    for ask in (
        lambda: made(**settings, dimension=1),
        lambda: asked.invoke("x = ") if made is KiloCodeFIM else asked.embed_query("Hello"),
    ):
        with pytest.raises(ours.ConfigurationError) as caught:
            ask()
        assert isinstance(caught.value, core.ModelError)


async def test_failing_key_function_is_told_with_its_cause(ask: Any, make_model: Any, gateway: Any) -> None:
    """Its service may be back soon, so LangChain may ask it again."""
    with pytest.raises(
        ours.ConfigurationError, match="function that was given as api_key failed with OSError"
    ) as caught:
        await ask(make_model(api_key=_fails), "Hello")
    assert isinstance(caught.value, core.ModelError)
    assert caught.value.is_retryable
    assert isinstance(caught.value.__cause__, OSError)
    assert gateway.requests == []
