"""Streams: pieces as they arrive, whatever the bytes are cut into, and an end when nobody listens any more."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool

from kilocode_gateway.local import Reply
from tests.core.helpers import eventually, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORDS = "One two three four five six seven."
SLOW = Reply.text(WORDS + " More." * 400, chunk_delay=0.02)


def test_break_closes_the_connection(model: Any, gateway: Any) -> None:
    gateway.script(SLOW)
    for chunk in model.stream("Count."):
        if chunk.text:
            break
    del chunk
    assert eventually(lambda: gateway.disconnects)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_end_of_an_async_stream_closes_the_connection(model: Any, gateway: Any, how: str) -> None:
    gateway.script(SLOW)
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(model.astream("Count.")) as pieces:
            async for chunk in pieces:
                begun.set()
                if chunk.text and how == "close":
                    return

    task = asyncio.create_task(read())
    if how == "cancel":
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    assert await soon(lambda: gateway.disconnects)


@tool
def lookup(word: str) -> str:
    """Look a word up."""
    return word


KEPT: list[Any] = []


async def _leave(pieces: Any) -> None:
    async for _ in pieces:
        break


async def _close(pieces: Any) -> None:
    await anext(pieces)
    await pieces.aclose()


async def _keep(pieces: Any) -> None:
    KEPT.append(pieces)
    await anext(pieces)


async def _events(model: Any) -> AsyncIterator[Any]:
    async for event in model.astream_events("Count."):
        if event["event"] == "on_chat_model_stream":
            yield event


SOURCES = {
    "model": lambda model: model.astream("Count."),
    "chain": lambda model: (model | StrOutputParser()).astream("Count."),
    "events": _events,
    "agent": lambda model: create_agent(model, [lookup]).astream(
        {"messages": [("user", "Count.")]}, stream_mode="messages"
    ),
}


@pytest.mark.parametrize("how", [_leave, _close, _keep])
@pytest.mark.parametrize("source", SOURCES)
def test_a_stream_left_as_the_last_act_is_closed_without_a_report(
    model: Any, gateway: Any, caplog: pytest.LogCaptureFixture, source: str, how: Any
) -> None:
    async def run() -> None:
        await how(SOURCES[source](model))

    gateway.script(*[SLOW] * 3)
    for _ in range(3):
        asyncio.run(run())
    assert eventually(lambda: len(gateway.disconnects) == 3)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    KEPT.clear()


@pytest.mark.parametrize("split", [1, 3, 50])
async def test_bytes_cut_anywhere(ask_streamed: Any, model: Any, gateway: Any, split: int) -> None:
    gateway.script(Reply.text("Größe: 5 µm 🙂", reasoning="Hm.", split=split))
    answer = await ask_streamed(model, "How large?")
    assert answer.text == "Größe: 5 µm 🙂"
    assert answer.additional_kwargs["reasoning_content"] == "Hm."


def test_pieces_are_yielded_as_they_arrive(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("word " * 400, stall_after=1500, stall=60.0))
    begin = time.monotonic()
    pieces = model.stream("Count.")
    assert len([next(pieces) for _ in range(3)]) == 3
    assert time.monotonic() - begin < 30
    pieces.close()


@pytest.mark.parametrize("kind", ["model", "chain"])
async def test_an_async_stream_collected_in_a_cycle_is_closed_without_a_report(
    model: Any, gateway: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    gateway.script(SLOW)
    runnable = model if kind == "model" else model | StrOutputParser()
    cycle: list[Any] = [runnable.astream("Count.")]
    cycle.append(cycle)
    await anext(cycle[0])
    del cycle
    gc.collect()
    assert await soon(lambda: gateway.disconnects)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
