"""Nothing that belongs to another provider is read or sent, by any way into the core and by the command line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

CANARY = "canary-of-another-provider"
NAMES = (
    "API_KEY",
    "ADMIN_KEY",
    "ORG_ID",
    "ORGANIZATION",
    "PROJECT_ID",
    "PROJECT",
    "API_TYPE",
    "API_VERSION",
    "WEBHOOK_SECRET",
    "LOG",
)
ADDRESSES = ("BASE_URL", "API_BASE", "PROXY")
BODY = {"model": "openai/gpt-5.4", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def trap(make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    """Set every variable to a canary, and every address to a server that must never hear a word."""
    elsewhere = make_gateway()
    for name in NAMES:
        monkeypatch.setenv(f"OPENAI_{name}", CANARY)
    for name in ADDRESSES:
        monkeypatch.setenv(f"OPENAI_{name}", f"{elsewhere.base_url}{CANARY}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Canary: {CANARY}")
    return elsewhere


def check(gateway: LocalGateway, trap: LocalGateway, least: int) -> None:
    assert len(gateway.requests) >= least
    for request in gateway.requests:
        sent = repr(request.header_pairs).encode() + request.body + request.path.encode()
        assert CANARY.encode() not in sent
        assert not [name for name in request.headers if name.startswith(("openai-", "x-canary", "x-stainless"))]
    assert trap.connections == 0


def test_no_way_into_the_core_sends_a_canary(gateway: LocalGateway, trap: LocalGateway) -> None:
    config = GatewayConfig.resolve(api_key=gateway.api_key, base_url=gateway.base_url)
    transport = Transport(config)

    async def ask() -> None:
        await Catalog.adiscover(config=config, refresh=True)
        await transport.acomplete(BODY)
        async for _ in await transport.astream(BODY):
            pass
        await transport.aembed(["a"], model="openai/text-embedding-3-small")
        await transport.arequest("GET", "/api/profile/balance")

    Catalog.discover(config=config)
    transport.complete(BODY)
    list(transport.stream(BODY))
    transport.embed(["a"], model="openai/text-embedding-3-small")
    transport.request("GET", "embedding-models")
    asyncio.run(ask())
    check(gateway, trap, least=10)


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_the_command_line_sends_no_canary(gateway: LocalGateway, trap: LocalGateway, command: str) -> None:
    ours = {"KILOCODE_BASE_URL": gateway.base_url, "KILOCODE_API_KEY": gateway.api_key}
    done = subprocess.run(
        [sys.executable, "-m", "kilocode_gateway", command],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    check(gateway, trap, least=1)


def test_without_a_key_of_ours_no_other_key_is_sent(gateway: LocalGateway, trap: LocalGateway) -> None:
    config = GatewayConfig.resolve(base_url=gateway.base_url)
    assert config.api_key is None
    Transport(config).complete({**BODY, "model": "kilo-auto/free"})
    check(gateway, trap, least=1)
    assert all("authorization" not in request.headers for request in gateway.requests)
