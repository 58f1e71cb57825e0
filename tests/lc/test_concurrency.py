"""One chat model that many use at once: threads, tasks, event loops, forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.crowds import OneObject, Ways

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_kilocode import ChatKiloCode


@pytest.fixture
def ways(make_model: Callable[..., ChatKiloCode]) -> Ways:
    model = make_model(timeout=(60.0, 60.0))

    async def acomplete(prompt: str) -> str:
        return (await model.ainvoke(prompt)).text

    def stream(prompt: str) -> Iterator[str]:
        for chunk in model.stream(prompt):
            yield chunk.text

    async def astream(prompt: str) -> AsyncIterator[str]:
        async for chunk in model.astream(prompt):
            yield chunk.text

    return Ways(lambda prompt: model.invoke(prompt).text, acomplete, stream, astream)


class TestChatKiloCode(OneObject):
    pass
