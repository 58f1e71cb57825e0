"""`as_structured_llm`: objects with their cost, events as the framework tells them and without secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers.null import NullSpanHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from kilocode_gateway import track_usage
from kilocode_gateway.errors import ConfigurationError, MalformedReplyError, UnknownSettingError
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode
    from tests.li.conftest import Recorder

HI = [ChatMessage(role="user", content="Tell me about Lisbon.")]
LISBON = '{"name": "Lisbon", "people": 500000}'
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cost": 0.25}


class City(BaseModel):
    """A city."""

    name: str
    people: int


WAYS = ["chat", "stream_chat", "complete", "achat", "astream_chat", "acomplete"]


def reply(arguments: str = LISBON) -> Reply:
    return Reply.text("", tool_calls=[{"id": "c1", "name": "City", "arguments": arguments}], usage=USAGE)


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give each of the six ways; each gives every response that comes."""
    method = request.param

    async def run(llm: Any, **call: Any) -> list[Any]:
        answer = getattr(llm, method)("Tell me about Lisbon." if "complete" in method else HI, **call)
        if not method.startswith("a"):
            return list(answer) if "stream" in method else [answer]
        answer = await answer
        return [one async for one in answer] if "stream" in method else [answer]

    run.__name__ = method
    return run


async def test_a_response_tells_what_it_used(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply())
    *_, last = await ask(llm.as_structured_llm(City))
    assert last.raw == City(name="Lisbon", people=500000)
    assert City.model_validate_json(last.text if hasattr(last, "text") else last.message.content) == last.raw
    facts = last.additional_kwargs
    assert {name: facts[name] for name in USAGE} == {**USAGE, "cost": facts["cost"]}
    assert float(facts["cost"]) == 0.25
    assert facts["model"]


async def test_each_piece_holds_the_object_so_far(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply(), reply())
    structured = llm.as_structured_llm(City)
    pieces = list(structured.stream_chat(HI))
    assert pieces[0].additional_kwargs == {}
    assert all(piece.message.content == piece.raw.model_dump_json() for piece in pieces)
    others = [piece async for piece in await structured.astream_chat(HI)]
    assert [piece.message.content for piece in others] == [piece.message.content for piece in pieces]


async def test_settings_of_the_call_travel(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply())
    await ask(llm.as_structured_llm(City), temperature=0.5, extra_headers={"X-Mine": "secret-1"})
    sent = gateway.chat_requests[-1]
    assert sent.json["temperature"] == 0.5
    assert sent.headers["x-mine"] == "secret-1"


@pytest.mark.parametrize("watched", [False, True])
async def test_listeners_are_told_what_the_framework_tells(
    ask: Any, make_llm: Any, gateway: LocalGateway, recorder: Recorder, watched: bool
) -> None:
    async def told(make: Callable[..., Any]) -> tuple[list[Any], list[Any]]:
        handler = LlamaDebugHandler(print_trace_on_end=False)
        structured = make(callback_manager=CallbackManager([handler] if watched else []))
        gateway.script(reply())
        recorder.seen.clear()
        await ask(structured, temperature=0.5)
        events: list[Any] = []
        for event in recorder.seen:
            span = (event.span_id or "").split("-")[0].partition(".")[2]
            one = (type(event).__name__, span, sorted(dict(event)), getattr(event, "additional_kwargs", None))
            # How many pieces a stream is cut into is each class's own affair.
            events += [one] if "InProgress" not in one[0] or one not in events else []
        return events, [(pair[0].event_type, sorted(pair[0].payload or {})) for pair in handler.get_event_pairs()]

    llm = make_llm()
    theirs = await told(lambda **settings: StructuredLLM(llm=llm, output_cls=City, **settings))
    assert theirs[0]
    assert await told(lambda **settings: llm.as_structured_llm(City, **settings)) == theirs


async def test_secrets_of_a_call_reach_no_listener(
    ask: Any, llm: KiloCode, gateway: LocalGateway, recorder: Recorder
) -> None:
    gateway.script(reply())
    handler = LlamaDebugHandler(print_trace_on_end=False)
    structured = llm.as_structured_llm(City, callback_manager=CallbackManager([handler]))
    await ask(structured, extra_headers={"X-Mine": "secret-1"})
    assert recorder.seen
    told = str([dict(event) for event in recorder.seen]) + str([pair[0].payload for pair in handler.get_event_pairs()])
    assert "X-Mine" in told
    assert "secret-1" not in told


class Spans(NullSpanHandler):
    """Writes the arguments of spans down."""

    told: list[str] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    def span_enter(self, *args: Any, bound_args: Any = None, **kwargs: Any) -> None:
        self.told.append(str(bound_args))


@pytest.fixture
def spans() -> Iterator[Spans]:
    root, handler = get_dispatcher(), Spans()
    before = list(root.span_handlers)
    root.add_span_handler(handler)
    yield handler
    root.span_handlers = before


PREDICTIONS = ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"]


async def test_secrets_of_a_call_are_in_no_span(ask: Any, llm: KiloCode, gateway: LocalGateway, spans: Spans) -> None:
    gateway.script(reply())
    await ask(llm.as_structured_llm(City), extra_headers={"X-Mine": "secret-1"})
    assert gateway.chat_requests[-1].headers["x-mine"] == "secret-1"
    assert "X-Mine" in str(spans.told)
    assert "secret-1" not in str(spans.told)


@pytest.mark.parametrize("method", PREDICTIONS)
async def test_nor_in_those_of_a_prediction(llm: KiloCode, gateway: LocalGateway, spans: Spans, method: str) -> None:
    gateway.script(reply())
    settings = {"extra_headers": {"X-Mine": "secret-1"}}
    answer = getattr(llm, method)(City, PromptTemplate("Hi."), llm_kwargs=settings)
    if method.startswith("a"):
        answer = await answer
    if "astream" in method:
        assert [one async for one in answer]
    elif "stream" in method:
        assert list(answer)
    assert gateway.chat_requests[-1].headers["x-mine"] == "secret-1"
    assert settings == {"extra_headers": {"X-Mine": "secret-1"}}
    assert sum(method in told or "llm_kwargs" in told for told in spans.told) == 1
    assert "secret-1" not in str(spans.told)


@pytest.mark.parametrize("name", ["api_key", "openai_api_key", "default_headers", "headers", "apikey"])
async def test_a_refused_name_reaches_no_listener(ask: Any, llm: KiloCode, recorder: Recorder, name: str) -> None:
    with pytest.raises(UnknownSettingError, match=name):
        await ask(llm.as_structured_llm(City), **{name: "secret-1"})
    assert "secret-1" not in str([dict(event) for event in recorder.seen])


async def test_an_object_that_does_not_fit_is_an_error(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply('{"name": "Lisbon"}'))
    with pytest.raises(MalformedReplyError, match="people"):
        await ask(llm.as_structured_llm(City))


async def test_messages_must_be_messages(llm: KiloCode) -> None:
    structured: Any = llm.as_structured_llm(City)
    with pytest.raises(ConfigurationError, match="ChatMessage"):
        structured.chat("Hi.")
    with pytest.raises(ConfigurationError, match="ChatMessage"):
        await structured.achat("Hi.")


def test_it_is_the_frameworks_own_otherwise(llm: KiloCode) -> None:
    ours, theirs = llm.as_structured_llm(City), StructuredLLM(llm=llm, output_cls=City)
    assert isinstance(ours, StructuredLLM)
    assert ours.to_dict() == theirs.to_dict()
    assert ours.class_name() == theirs.class_name()
    assert ours.metadata == theirs.metadata


STREAMS: dict[str, Callable[[Any], Any]] = {
    "stream_chat": lambda llm: llm.as_structured_llm(City).stream_chat(HI),
    "astream_chat": lambda llm: llm.as_structured_llm(City).astream_chat(HI),
    "stream_structured_predict": lambda llm: llm.stream_structured_predict(City, PromptTemplate("Hi.")),
    "astream_structured_predict": lambda llm: llm.astream_structured_predict(City, PromptTemplate("Hi.")),
}


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_counts_where_it_was_asked_for(
    request: pytest.FixtureRequest, llm: KiloCode, gateway: LocalGateway, way: str, heard: bool
) -> None:
    if heard:
        request.getfixturevalue("recorder")
    gateway.script(reply())
    with track_usage() as used:
        pieces = STREAMS[way](llm)
        if way.startswith("a"):
            pieces = await pieces
    if way.startswith("a"):
        assert [piece async for piece in pieces]
    else:
        assert await asyncio.to_thread(list, pieces)
    assert (used.total.calls, used.total.total_tokens) == (1, 18)
