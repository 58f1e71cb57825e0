"""One LLM that many use at once: threads, tasks, event loops, forks, and loops that the framework makes and closes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from llama_index.core.async_utils import asyncio_run
from llama_index.core.llms import ChatMessage

from kilocode_gateway import clients
from kilocode_gateway.local import Reply
from tests.core.crowds import OneObject, Ways, run
from tests.core.helpers import eventually
from tests.soak.watching import Reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode


def _asking(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=prompt)]


@pytest.fixture
def ways(make_llm: Callable[..., KiloCode]) -> Ways:
    llm = make_llm(timeout=(60.0, 60.0), max_retries=0)

    async def acomplete(prompt: str) -> str:
        return (await llm.achat(_asking(prompt))).message.content or ""

    def stream(prompt: str) -> Iterator[str]:
        for response in llm.stream_chat(_asking(prompt)):
            yield response.delta or ""

    async def astream(prompt: str) -> AsyncIterator[str]:
        async for response in await llm.astream_chat(_asking(prompt)):
            yield response.delta or ""

    return Ways(lambda prompt: llm.chat(_asking(prompt)).message.content or "", acomplete, stream, astream)


class TestKiloCode(OneObject):
    @pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
    def test_sync_calls_in_notebooks_leave_no_loop_and_no_connection(
        self, ways: Ways, gateway: LocalGateway, policy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a running loop the framework makes a loop in a thread for each, and closes it without shutting it down."""
        new_loop = pytest.importorskip(policy).new_event_loop
        monkeypatch.setattr(asyncio, "new_event_loop", new_loop)

        async def notebook() -> None:
            for number in range(25):
                asyncio_run(ways.aask(streamed=number % 2 == 0))

        def cells() -> None:
            run(notebook(), new_loop)

        cells()
        assert eventually(lambda: gateway.open_connections == 0)
        before = Reading.settled()
        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(cells) for _ in range(8)]:
                future.result(60)
        assert eventually(lambda: gateway.open_connections == 0)
        after = Reading.settled()
        assert after.descriptors <= before.descriptors
        assert after.threads <= before.threads
        assert not [entry for entry in clients._clients.by_loop.values() if entry[0].is_closed()]
        assert gateway.connections == 9 * 25


async def test_others_have_their_turn_while_much_of_a_stream_is_here(llm: KiloCode, gateway: LocalGateway) -> None:
    """One read may bring hundreds of pieces; what stands beside the reader is not kept waiting for all of them."""
    gateway.script(Reply.text(" ".join(f"word{number}" for number in range(300))))
    stream = await llm.astream_chat(_asking("Hi."))
    await anext(stream)
    await asyncio.sleep(0.5)  # the rest arrives
    since, longest, given = 0, 0, 0

    async def beside() -> None:
        nonlocal since
        while True:
            since = 0
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    async for _ in stream:
        since, given = since + 1, given + 1
        longest = max(longest, since)
    task.cancel()
    assert given > 250
    assert longest <= 20
