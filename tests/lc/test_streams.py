"""Streams: pieces as they arrive, whatever the bytes are cut into, and an end when nobody listens any more."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest

from kilocode_gateway.local import Reply

WORDS = "One two three four five six seven."
SLOW = Reply.text(WORDS + " More." * 400, chunk_delay=0.02)


def _closed(gateway: Any) -> bool:
    return bool(gateway.disconnects)


def test_break_closes_the_connection(model: Any, gateway: Any) -> None:
    gateway.script(SLOW)
    for chunk in model.stream("Count."):
        if chunk.text:
            break
    del chunk
    deadline = time.monotonic() + 5
    while not _closed(gateway) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _closed(gateway)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_end_of_an_async_stream_closes_the_connection(model: Any, gateway: Any, how: str) -> None:
    gateway.script(SLOW)

    async def read() -> None:
        async with aclosing(model.astream("Count.")) as pieces:
            async for chunk in pieces:
                if chunk.text and how == "close":
                    return

    task = asyncio.create_task(read())
    if how == "cancel":
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    for _ in range(250):
        if _closed(gateway):
            break
        await asyncio.sleep(0.02)
    assert _closed(gateway)


@pytest.mark.parametrize("split", [1, 3, 50])
async def test_bytes_cut_anywhere(ask_streamed: Any, model: Any, gateway: Any, split: int) -> None:
    gateway.script(Reply.text("Größe: 5 µm 🙂", reasoning="Hm.", split=split))
    answer = await ask_streamed(model, "How large?")
    assert answer.text == "Größe: 5 µm 🙂"
    assert answer.additional_kwargs["reasoning_content"] == "Hm."


def test_pieces_are_yielded_as_they_arrive(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text(WORDS, chunk_delay=0.05))
    times = [time.monotonic() for chunk in model.stream("Count.") if chunk.text]
    assert len(times) > 3
    assert times[-1] - times[0] > 0.1
