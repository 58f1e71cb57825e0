"""Events and callbacks, token counting, and responses that are built without validation."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.llms import ChatMessage, callbacks
from llama_index.core.llms import llm as framework_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from kilocode_gateway.errors import StreamInterruptedError, UnknownSettingError
from kilocode_gateway.local import Reply
from llama_index_kilocode._events import is_watched

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode
    from tests.li.conftest import Recorder, Spans

USAGE = {"prompt_tokens": 111, "completion_tokens": 77, "total_tokens": 188}
PROMPT = PromptTemplate("A city.")


class Word(BaseModel):
    """A word."""

    word: str


async def test_tokens_are_counted_as_the_gateway_counts_them(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    counter = TokenCountingHandler()
    gateway.script(Reply.text("Hello you.", usage=USAGE))
    await ask(make_llm(callback_manager=CallbackManager([counter])))
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (111, 77)


class City(BaseModel):
    """A city."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [FunctionTool.from_defaults(add)]


async def _read(stream: Any) -> list[Any]:
    return [piece async for piece in await stream]


OTHER_WAYS = {
    "predict": lambda llm: llm.predict(PROMPT),
    "stream": lambda llm: list(llm.stream(PROMPT)),
    "apredict": lambda llm: llm.apredict(PROMPT),
    "astream": lambda llm: _read(llm.astream(PROMPT)),
    "chat_with_tools": lambda llm: llm.chat_with_tools(TOOLS, "Add."),
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools(TOOLS, "Add.")),
    "astream_chat_with_tools": lambda llm: _read(llm.astream_chat_with_tools(TOOLS, "Add.")),
    "structured_predict": lambda llm: llm.structured_predict(City, PROMPT),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(City, PROMPT)),
    "astream_structured_predict": lambda llm: _read(llm.astream_structured_predict(City, PROMPT)),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
async def test_tokens_are_counted_exactly_by_every_other_way(make_llm: Any, gateway: LocalGateway, way: str) -> None:
    counter = TokenCountingHandler()
    call = {"id": "c1", "name": "City", "arguments": '{"name": "Lisbon"}'}
    calls = {"tool_calls": [call]} if "structured" in way or "tools" in way else {}
    gateway.script(Reply.text("", usage=USAGE, **calls) if calls else Reply.text("Hello you.", usage=USAGE))
    asked = OTHER_WAYS[way](make_llm(callback_manager=CallbackManager([counter])))
    if inspect.isawaitable(asked):
        await asked
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (111, 77)
    assert len(gateway.chat_requests) == 1


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_query_engines_tokens_are_counted_exactly(
    llm: KiloCode, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, streaming: bool, way: str
) -> None:
    counter = TokenCountingHandler()
    monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
    gateway.script(Reply.text("Hello you.", usage=USAGE))
    engine: Any = SummaryIndex.from_documents([Document(text="One.")]).as_query_engine(llm=llm, streaming=streaming)
    if way == "sync":
        assert str(engine.query("Hi.")) == "Hello you."
    else:
        response = await engine.aquery("Hi.")
        pieces = [piece async for piece in response.async_response_gen()] if streaming else [str(response)]
        assert "".join(pieces) == "Hello you."
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (111, 77)
    assert len(gateway.chat_requests) == 1


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_tokens_are_counted_exactly(make_llm: Any, gateway: LocalGateway, streaming: bool) -> None:
    counter = TokenCountingHandler()
    call = {"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
    gateway.script(Reply.text("", tool_calls=[call], usage=USAGE), Reply.text("3", usage=USAGE))
    llm = make_llm(callback_manager=CallbackManager([counter]))
    result = await FunctionAgent(tools=[add], llm=llm, streaming=streaming).run("What is 1 plus 2?")
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (222, 154)
    assert result.raw["usage"]["prompt_tokens"] == 111


async def test_the_same_events_as_ever_where_somebody_listens(
    ask: Any, llm: KiloCode, gateway: LocalGateway, recorder: Recorder
) -> None:
    gateway.script(Reply.text("Hello you."))
    responses = await ask(llm)
    kind = "Completion" if "complete" in ask.method else "Chat"
    names = [type(event).__name__ for event in recorder.seen if kind in type(event).__name__]
    between = [f"LLM{kind}InProgressEvent"] * len(responses) if ask.streams else []
    assert names == [f"LLM{kind}StartEvent", *between, f"LLM{kind}EndEvent"]
    assert "test-key-1" not in str([event.model_dump() for event in recorder.seen])
    start = next(event for event in recorder.seen if type(event).__name__ == f"LLM{kind}StartEvent")
    assert start.model_dict["class_name"] == "KiloCode"


async def test_callbacks_are_called_and_hold_no_key(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    gateway.script(Reply.text("Hello you."))
    await ask(make_llm(callback_manager=CallbackManager([debug])))
    pairs = debug.get_event_pairs(CBEventType.LLM)
    assert len(pairs) == 1
    assert "test-key-1" not in str([event.payload for event in pairs[0]])


async def test_headers_of_a_call_reach_the_gateway_and_no_listener(
    ask: Any, make_llm: Any, gateway: LocalGateway, recorder: Recorder, spans: Spans
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make_llm(callback_manager=CallbackManager([debug]))
    await ask(llm, extra_headers={"X-Secret": "secret-9"}, temperature=0.5)
    assert gateway.chat_requests[-1].headers["x-secret"] == "secret-9"
    given = recorder.seen[0].additional_kwargs
    assert given == {"extra_headers": {"X-Secret": "***"}, "temperature": 0.5}
    assert pickle.loads(pickle.dumps(given)) == copy.deepcopy(given) == given
    assert "secret-9" not in _shown(recorder, debug)
    assert ask.method in str(spans.seen)
    assert "'temperature': 0.5" in str(spans.seen)
    assert "secret-9" not in str(spans.seen)


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "secret-9"},
        {"default_headers": {"X-Secret": "secret-9"}},
        {"openai_api_key": "secret-9"},
        {"apikey": "secret-9"},
        {"headers": {"authorization": "secret-9"}},
    ],
)
async def test_secrets_that_no_call_takes_reach_no_listener(
    ask: Any, make_llm: Any, recorder: Recorder, spans: Spans, given: dict[str, Any]
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make_llm(callback_manager=CallbackManager([debug]))
    with pytest.raises(UnknownSettingError):
        await ask(llm, **given)
    assert recorder.seen == []
    assert debug.get_event_pairs() == []
    assert spans.seen == []


async def test_each_way_of_asking_has_one_span_of_its_own(ask: Any, llm: KiloCode, spans: Spans) -> None:
    await ask(llm)
    names = [name.partition("-")[0] for name, _ in spans.seen]
    assert names[0] == f"KiloCode.{ask.method}"
    assert inspect.iscoroutinefunction(getattr(llm, ask.method)) == ask.method.startswith("a")
    parameters = inspect.signature(getattr(type(llm), ask.method)).parameters
    assert list(parameters)[-1] == "kwargs"


def _shown(recorder: Recorder, debug: LlamaDebugHandler) -> str:
    payloads = [event.payload for pair in debug.get_event_pairs() for event in pair]
    return f"{recorder.seen} {[event.model_dump() for event in recorder.seen]} {payloads}"


async def test_nothing_is_built_where_nobody_listens(
    ask: Any, llm: KiloCode, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    for name in (name for name in vars(callbacks) if name.startswith("LLM") and name.endswith("Event")):
        monkeypatch.setattr(callbacks, name, lambda *_, name=name, **__: built.append(name))
    gateway.script(Reply.text("Hello you."))
    responses = await ask(llm)
    assert ask.text(responses[-1]) == "Hello you."
    assert built == []


async def test_no_growing_object_is_reported_where_nobody_listens(
    llm: KiloCode, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(framework_llm, "LLMStructuredPredictInProgressEvent", lambda **told: built.append(told))
    gateway.script(*[Reply.text("", tool_calls=[{"id": "c1", "name": "Word", "arguments": '{"word": "Hi"}'}])] * 2)
    assert list(llm.stream_structured_predict(Word, PromptTemplate("Hi.")))[-1] == Word(word="Hi")
    pieces = await llm.astream_structured_predict(Word, PromptTemplate("Hi."))
    assert [piece async for piece in pieces][-1] == Word(word="Hi")
    assert built == []


async def test_an_error_in_a_stream_reaches_the_listeners(
    stream: Any, llm: KiloCode, gateway: LocalGateway, recorder: Recorder
) -> None:
    gateway.script(Reply.chunks([{"choices": [{"index": 0, "delta": {"content": "Half"}}]}]))
    with pytest.raises(StreamInterruptedError):
        await stream(llm)
    assert "ExceptionEvent" in [type(event).__name__ for event in recorder.seen]


async def test_the_answers_are_the_same_whether_somebody_listens_or_not(
    ask: Any, make_llm: Any, gateway: LocalGateway
) -> None:
    reply = Reply.text("Hello you.", reasoning="Hm.", usage=USAGE)
    gateway.script(reply, reply)
    alone, heard = make_llm(), make_llm(callback_manager=CallbackManager([TokenCountingHandler()]))
    assert (is_watched(alone), is_watched(heard)) == (False, True)
    first, second = await ask(alone), await ask(heard)
    raw = {"id", "created"}
    for one, other in zip(first, second, strict=True):
        left, right = one.model_dump(exclude={"raw"}), other.model_dump(exclude={"raw"})
        assert left == right
        assert {k: v for k, v in one.raw.items() if k not in raw} == {
            k: v for k, v in other.raw.items() if k not in raw
        }


def test_a_rate_limiter_is_waited_for(llm: KiloCode) -> None:
    if "rate_limiter" not in type(llm).model_fields:
        pytest.skip("this framework knows no rate limiter")

    class Limiter:
        taken = 0

        def acquire(self) -> None:
            self.taken += 1

        async def async_acquire(self) -> None:
            self.taken += 1

    limiter = Limiter()
    llm.rate_limiter = limiter
    hi = [ChatMessage(role="user", content="Hi.")]
    llm.chat(hi)
    list(llm.stream_chat(hi))
    assert limiter.taken == 2
