"""One transport that many use at once: threads, tasks, event loops, forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.core.crowds import OneObject, Ways
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kilocode_gateway.local import LocalGateway


def _asking(prompt: str) -> dict[str, Any]:
    return {**BODY, "messages": [{"role": "user", "content": prompt}]}


@pytest.fixture
def ways(gateway: LocalGateway) -> Ways:
    transport = transport_to(gateway, timeout=60.0)

    async def acomplete(prompt: str) -> str:
        return (await transport.acomplete(_asking(prompt))).text

    def stream(prompt: str) -> Iterator[str]:
        for delta in transport.stream(_asking(prompt)):
            yield delta.text

    async def astream(prompt: str) -> AsyncIterator[str]:
        async for delta in await transport.astream(_asking(prompt)):
            yield delta.text

    return Ways(lambda prompt: transport.complete(_asking(prompt)).text, acomplete, stream, astream)


class TestTransport(OneObject):
    pass
