"""Streams that nobody reads to their end: the gateway sees the connection close at once, watched or not."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from kilocode_gateway.local import Reply
from tests.core.helpers import eventually, soon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

HI = [ChatMessage(role="user", content="Hi.")]


class Words(BaseModel):
    """Words."""

    words: str


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [FunctionTool.from_defaults(add)]
STREAMS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.stream_chat(HI),
    "complete": lambda llm: llm.stream_complete("Hi."),
    "chat with tools": lambda llm: llm.stream_chat_with_tools(TOOLS, user_msg="Hi."),
    "chat with parallel tools": lambda llm: llm.stream_chat_with_tools(
        TOOLS, user_msg="Hi.", allow_parallel_tool_calls=True
    ),
    "structured": lambda llm: llm.stream_structured_predict(Words, PromptTemplate("Hi.")),
    "structured chat": lambda llm: llm.as_structured_llm(Words).stream_chat(HI),
}
ASYNC_STREAMS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.astream_chat(HI),
    "complete": lambda llm: llm.astream_complete("Hi."),
    "chat with tools": lambda llm: llm.astream_chat_with_tools(TOOLS, user_msg="Hi."),
    "chat with parallel tools": lambda llm: llm.astream_chat_with_tools(
        TOOLS, user_msg="Hi.", allow_parallel_tool_calls=True
    ),
    "structured": lambda llm: llm.astream_structured_predict(Words, PromptTemplate("Hi.")),
    "structured chat": lambda llm: llm.as_structured_llm(Words).astream_chat(HI),
}


def slow() -> Reply:
    """Answer for several seconds, in a form that is text and an object alike."""
    return Reply.text('{"words": "' + "word " * 2_000 + '"}', chunk_delay=0.005)


@pytest.fixture(params=[False, True], ids=["alone", "watched"])
def llm(request: pytest.FixtureRequest, make_llm: Any) -> Any:
    """Give an LLM with and without a handler, which keeps what it is told."""
    handlers: list[Any] = [LlamaDebugHandler(print_trace_on_end=False)] if request.param else []
    return make_llm(callback_manager=CallbackManager(handlers))


class Keeper(BaseEventHandler):
    """Keeps the events."""

    kept: list[Any] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    @classmethod
    def class_name(cls) -> str:
        return "Keeper"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.kept.append(event)


@pytest.fixture
def recorded() -> Iterator[Keeper]:
    """Keep every event, and what it refers to."""
    root, keeper = get_dispatcher(), Keeper()
    before = list(root.event_handlers)
    root.add_event_handler(keeper)
    yield keeper
    root.event_handlers = before


@pytest.mark.parametrize("how", ["break", "close"])
@pytest.mark.parametrize("kind", STREAMS)
def test_leaving_a_stream_closes_the_connection(llm: Any, gateway: LocalGateway, kind: str, how: str) -> None:
    gateway.script(slow())
    pieces = STREAMS[kind](llm)
    for _ in pieces:
        break
    if how == "close":
        pieces.close()
    del pieces
    assert eventually(lambda: bool(gateway.disconnects))


@pytest.mark.parametrize("how", ["break", "close", "cancel"])
@pytest.mark.parametrize("kind", ASYNC_STREAMS)
async def test_leaving_an_async_stream_closes_the_connection(
    llm: Any, gateway: LocalGateway, kind: str, how: str
) -> None:
    gateway.script(slow())
    begun = asyncio.Event()

    async def read() -> None:
        pieces = await ASYNC_STREAMS[kind](llm)
        async for _ in pieces:
            begun.set()
            if how != "cancel":
                break
        if how == "close":
            await pieces.aclose()

    task = asyncio.create_task(read())
    await begun.wait()
    if how == "cancel":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    assert await soon(lambda: bool(gateway.disconnects))


@pytest.mark.parametrize("kind", ASYNC_STREAMS)
async def test_an_async_stream_collected_in_a_cycle_is_closed_without_a_report(
    llm: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    gateway.script(slow())
    cycle: list[Any] = [await ASYNC_STREAMS[kind](llm)]
    cycle.append(cycle)
    await anext(cycle[0])
    del cycle
    gc.collect()
    assert await soon(lambda: bool(gateway.disconnects))
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("kind", STREAMS)
async def test_events_that_are_kept_keep_no_connection(
    make_llm: Any, gateway: LocalGateway, recorded: Keeper, kind: str
) -> None:
    gateway.script(slow(), slow())
    pieces = STREAMS[kind](make_llm())
    next(pieces)
    pieces.close()
    assert await soon(lambda: len(gateway.disconnects) == 1)
    others = await ASYNC_STREAMS[kind](make_llm())
    await anext(others)
    await others.aclose()
    assert await soon(lambda: len(gateway.disconnects) == 2)
    assert recorded.kept


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_that_is_never_read_asks_for_nothing(llm: Any, gateway: LocalGateway, kind: str) -> None:
    STREAMS[kind](llm)
    pieces = await ASYNC_STREAMS[kind](llm)
    del pieces
    assert gateway.chat_requests == []


@pytest.mark.parametrize("method", ["achat", "acomplete"])
async def test_a_whole_answer_may_be_cancelled(llm: Any, gateway: LocalGateway, method: str) -> None:
    gateway.script(Reply.text("Too late.", delay=60))
    task = asyncio.create_task(getattr(llm, method)(HI if method == "achat" else "Hi."))
    assert await soon(lambda: bool(gateway.chat_requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: bool(gateway.disconnects))


async def leave(pieces: Any) -> None:
    async for _ in await pieces:
        break


async def close(pieces: Any) -> None:
    read = await pieces
    await anext(read)
    await read.aclose()


KEPT: list[Any] = []


async def keep(pieces: Any) -> None:
    KEPT.append(await pieces)
    await anext(KEPT[-1])


@pytest.mark.parametrize("how", [leave, close, keep])
@pytest.mark.parametrize("kind", ASYNC_STREAMS)
def test_a_stream_left_as_the_last_act_is_closed_without_a_report(
    llm: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, kind: str, how: Any
) -> None:
    async def run() -> None:
        await how(ASYNC_STREAMS[kind](llm))

    gateway.script(*[slow()] * 3)
    for _ in range(3):
        asyncio.run(run())
    assert eventually(lambda: len(gateway.disconnects) == 3)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    KEPT.clear()


@pytest.mark.parametrize("how", ["break", "cancel"])
def test_an_agent_that_is_left_as_the_last_act_closes_its_stream(
    llm: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def run() -> None:
        handler = FunctionAgent(tools=[add], llm=llm).run("Hi.")
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                break
        if how == "cancel":
            await handler.cancel_run()

    gateway.script(*[slow()] * 2)
    for _ in range(2):
        asyncio.run(run())
    assert eventually(lambda: len(gateway.disconnects) == 2)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
