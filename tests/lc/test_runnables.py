"""The model as a runnable of LangChain: configured, chosen, limited, cached, watched, copied and sent elsewhere."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField, RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import SecretStr

from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode

SECRET = "test-key-that-travels"
TOOL = {"type": "openrouter:web_search"}


def _sent(gateway: Any, *names: str) -> list[Any]:
    return [gateway.last_request.json.get(name) for name in names]


async def test_configurable_fields(ask: Any, model: Any, gateway: Any) -> None:
    configurable = model.configurable_fields(
        model_name=ConfigurableField(id="model"),
        temperature=ConfigurableField(id="temperature"),
        reasoning=ConfigurableField(id="reasoning"),
        api_key=ConfigurableField(id="key"),
    )
    chosen = {"model": "openai/gpt-5.4", "temperature": 0.1, "reasoning": {"effort": "low"}, "key": "other-key"}
    await ask(configurable.with_config(configurable=chosen), "Hello")
    assert _sent(gateway, "model", "temperature", "reasoning") == ["openai/gpt-5.4", 0.1, {"effort": "low"}]
    assert gateway.last_request.authorization == "Bearer other-key"
    await ask(configurable.bind(tools=[TOOL]), "Hello", config={"configurable": chosen})
    assert _sent(gateway, "model", "tools") == ["openai/gpt-5.4", [TOOL]]
    await ask(configurable, "Hello")
    assert _sent(gateway, "model", "temperature") == [model.model_name, None]
    assert gateway.last_request.authorization == f"Bearer {gateway.api_key}"


async def test_configurable_address(ask: Any, model: Any, make_gateway: Any) -> None:
    other = make_gateway()
    configurable = model.configurable_fields(base_url=ConfigurableField(id="address"))
    await ask(configurable.with_config(configurable={"address": other.base_url}), "Hello")
    assert len(other.chat_requests) == 1


async def test_configurable_alternatives(ask: Any, make_model: Any, gateway: Any) -> None:
    model = make_model().configurable_alternatives(
        ConfigurableField(id="which"), default_key="one", two=make_model(model="openai/gpt-5.4", temperature=0.5)
    )
    await ask(model, "Hello")
    assert _sent(gateway, "model", "temperature") == ["anthropic/claude-sonnet-4.6", None]
    await ask(model.bind(tools=[TOOL]), "Hello", config={"configurable": {"which": "two"}})
    assert _sent(gateway, "model", "temperature", "tools") == ["openai/gpt-5.4", 0.5, [TOOL]]


class Limiter(InMemoryRateLimiter):
    """Counts the calls that asked it."""

    asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return super().acquire(blocking=blocking)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return await super().aacquire(blocking=blocking)


async def test_rate_limiter_is_asked_once_for_each_call(ask: Any, make_model: Any) -> None:
    limiter = Limiter(requests_per_second=1000, check_every_n_seconds=0.001, max_bucket_size=1000)
    model = make_model(rate_limiter=limiter)
    for _ in range(3):
        assert (await ask(model, "Hello")).text
    assert limiter.asked == 3


@pytest.mark.parametrize("ask", ["invoke", "ainvoke"], indirect=True)
async def test_cached_answer_needs_no_limiter_and_each_setting_has_its_own(
    ask: Any, make_model: Any, gateway: Any
) -> None:
    limiter = Limiter(requests_per_second=1000, check_every_n_seconds=0.001)
    model = make_model(cache=InMemoryCache(), rate_limiter=limiter)
    for _ in range(2):
        await ask(model, "Hello")
    assert (limiter.asked, len(gateway.chat_requests)) == (1, 1)
    await ask(model, "Hello", provider={"sort": "price"})
    await ask(model.model_copy(update={"temperature": 0.5}), "Hello")
    await ask(model.bind_tools([TOOL]), "Hello")
    assert len(gateway.chat_requests) == 4


class Watcher(BaseCallbackHandler):
    """Notes what happens."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens: list[str] = []

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.seen.append("start")

    def on_llm_new_token(self, token: Any, **__: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **__: Any) -> None:
        self.seen.append(f"end {response.generations[0][0].text}")

    def on_llm_error(self, error: BaseException, **__: Any) -> None:
        self.seen.append(f"error {type(error).__name__}")


@pytest.mark.parametrize("where", ["call", "model"])
async def test_callbacks(ask: Any, make_model: Any, gateway: Any, where: str) -> None:
    watcher = Watcher()
    gateway.script(Reply.text("One two three."), Reply.error("no_free_models"))
    model = make_model(callbacks=[watcher] if where == "model" else None)
    config = {"callbacks": [watcher]} if where == "call" else {}
    await ask(model, "Count.", config=config)
    with pytest.raises(Exception, match="No free models"):
        await ask(model, "Count.", config=config)
    assert watcher.seen == ["start", "end One two three.", "start", "error UpstreamError"]
    assert "".join(watcher.tokens) == ("One two three." if "stream" in ask.__name__ else "")


async def test_events_v2(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("One two three.", usage={"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.5}))
    events = [event async for event in model.astream_events("Count.", version="v2")]
    assert [events[0]["event"], events[-1]["event"]] == ["on_chat_model_start", "on_chat_model_end"]
    streamed = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(chunk.text for chunk in streamed) == "One two three."
    assert events[-1]["data"]["output"].response_metadata["cost"] == 0.5
    assert events[0]["metadata"]["ls_provider"] == "kilocode"


@pytest.mark.parametrize("way", ["stream_events", "astream_events"])
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_events_v3(model: Any, gateway: Any, way: str) -> None:
    gateway.script(
        Reply.text("One two three.", reasoning="I count.", usage={"prompt_tokens": 1, "completion_tokens": 2})
    )
    if way == "stream_events":
        stream = model.stream_events("Count.", version="v3")
        events = list(stream)
    else:
        stream = await model.astream_events("Count.", version="v3")
        events = [event async for event in stream]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("message-start", "message-finish")
    message = stream.output_message
    assert message.text == "One two three."
    assert [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"] == ["I count."]
    assert message.usage_metadata["total_tokens"] == 3
    assert message.response_metadata["finish_reason"] == "stop"


async def test_answers_survive_a_checkpoint(ask: Any, model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("Hello", reasoning="I greet.", usage={"prompt_tokens": 1, "cost": 0.25}))
    answer = await ask(model, "Hello")
    serializer = JsonPlusSerializer()
    again = serializer.loads_typed(serializer.dumps_typed(answer))
    assert again == answer
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert again.response_metadata["cost"] == 0.25
    assert isinstance(again, AIMessageChunk) == ("stream" in ask.__name__)


def test_graph_keeps_its_conversation(model: Any, gateway: Any) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    agent = graph.compile(checkpointer=InMemorySaver())
    for question in ("Hello", "And again?"):
        agent.invoke({"messages": [("human", question)]}, {"configurable": {"thread_id": "1"}})
    assert [message["role"] for message in gateway.last_request.json["messages"]] == ["user", "assistant", "user"]


def test_branches_at_once(make_model: Any, gateway: Any) -> None:
    both = RunnableParallel(one=make_model(), two=make_model(model="openai/gpt-5.4"))
    answers = both.invoke("Hello")
    models = {name: answer.response_metadata["requested_model"] for name, answer in answers.items()}
    assert models == {"one": "anthropic/claude-sonnet-4.6", "two": "openai/gpt-5.4"}
    assert len(both.batch(["a", "b", "c"], {"max_concurrency": 2})) == 3
    assert len(gateway.chat_requests) == 8


AGAIN = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy, "copy": copy.copy}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN.keys())
def test_copies_of_what_is_made_from_a_model_work(model: Any, gateway: Any, again: Any) -> None:
    schema = {"title": "t", "type": "object", "properties": {"a": {"type": "string"}}}
    made = [model.bind_tools([TOOL]), model.with_structured_output(schema), model.with_fallbacks([model])]
    for number, runnable in enumerate([*made, model.with_retry(), model.bind(temperature=0.5)]):
        again(runnable).invoke("Hello")
        assert len(gateway.chat_requests) == number + 1


@pytest.mark.parametrize("setting", ["callbacks", "cache", "rate_limiter"])
def test_what_holds_locks_stays_here_and_is_shared_by_deep_copies(make_model: Any, setting: str) -> None:
    held = {
        "callbacks": UsageMetadataCallbackHandler(),
        "cache": InMemoryCache(),
        "rate_limiter": InMemoryRateLimiter(),
    }[setting]
    model = make_model(**{setting: [held] if setting == "callbacks" else held})
    assert getattr(pickle.loads(pickle.dumps(model)), setting) is None
    for copied in (copy.deepcopy(model), model.model_copy(deep=True)):
        kept = getattr(copied, setting)
        assert (kept[0] if setting == "callbacks" else kept) is held
    if setting == "callbacks":
        copied.callbacks.append(held)
        assert len(model.callbacks) == 1


def test_switched_off_cache_stays_switched_off_elsewhere(make_model: Any) -> None:
    assert pickle.loads(pickle.dumps(make_model(cache=False))).cache is False


ELSEWHERE = """
import pickle, sys
model = pickle.loads(bytes.fromhex(sys.argv[1]))
print(model.invoke("Hello").text)
"""


@pytest.mark.parametrize("given", [True, False], ids=["key given by hand", "key from the environment"])
def test_worker_elsewhere(make_model: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "not-travelling" if given else SECRET)
    model = make_model(api_key=SECRET if given else None, temperature=0.5, provider={"zdr": True})
    model.invoke("Hello")
    assert gateway.last_request.authorization == f"Bearer {SECRET}"
    data = pickle.dumps(model.bind(top_p=0.9))
    assert (SECRET.encode() in data) == given
    assert b"not-travelling" not in data
    monkeypatch.setenv("KILOCODE_API_KEY", "key-of-the-worker")
    gateway.script(Reply.text("From elsewhere."))
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, data.hex()], capture_output=True, text=True, check=True)
    assert done.stdout == "From elsewhere.\n"
    assert gateway.last_request.authorization == f"Bearer {SECRET if given else 'key-of-the-worker'}"
    assert _sent(gateway, "temperature", "top_p", "provider") == [0.5, 0.9, {"zdr": True}]


@pytest.mark.parametrize("deep", [False, True])
async def test_copy_uses_its_own_key_and_address(ask: Any, model: Any, make_gateway: Any, deep: bool) -> None:
    other = make_gateway()
    await ask(model, "Hello")
    changes = {"api_key": "other-key", "base_url": other.base_url, "organization_id": "org-2", "timeout": 5}
    copied = model.model_copy(update=changes, deep=deep)
    await asyncio.gather(ask(copied, "Hello"), ask(model, "Hello"))
    assert [request.authorization for request in other.chat_requests] == ["Bearer other-key"]
    assert other.last_request.headers["x-kilocode-organizationid"] == "org-2"
    assert copied.request_timeout == 5
    assert copied.gateway_config.base_url == other.base_url
    assert isinstance(copied.api_key, SecretStr)
    assert isinstance(copied, ChatKiloCode)
