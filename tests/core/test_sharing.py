"""One client for a process and for an event loop: under threads and tasks, after fork, and at the end of everything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.local import Reply
from tests.core.helpers import BODY, KEY, SLOW, eventually, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway


def test_64_threads_share_one_transport(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    with ThreadPoolExecutor(64) as pool:
        texts = list(pool.map(lambda number: transport.complete(_numbered(number)).text, range(256)))
    assert len(gateway.chat_requests) == 256
    assert sorted(request.json["messages"][0]["content"] for request in gateway.requests) == sorted(
        f"Say {number}" for number in range(256)
    )
    assert all(texts)
    assert gateway.connections <= 64


async def test_200_tasks_share_one_transport(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    gateway.script(*[Reply.text("ok", delay=0.05)] * 200)
    answers = await asyncio.gather(*[transport.acomplete(_numbered(number)) for number in range(200)])
    assert [answer.text for answer in answers] == ["ok"] * 200


def _numbered(number: int) -> dict[str, Any]:
    return {**BODY, "messages": [{"role": "user", "content": f"Say {number}"}]}


def _start(code: str, gateway: LocalGateway, *options: str, **variables: str) -> subprocess.Popen[str]:
    script = f"BASE = {gateway.base_url!r}\nKEY = {KEY!r}\n" + textwrap.dedent(PRELUDE) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, *options, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def _ended(process: subprocess.Popen[str]) -> str:
    """Give the process a line, wait until it ends, and give what it wrote."""
    out, err = process.communicate("\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    return out


def _python(code: str, gateway: LocalGateway, *options: str, **variables: str) -> str:
    return _ended(_start(code, gateway, *options, **variables))


PRELUDE = """
import asyncio, gc, os, sys, threading
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.transport import Transport
BODY = {"model": "anthropic/claude-sonnet-4.6", "messages": [{"role": "user", "content": "Hello"}]}
transport = Transport(GatewayConfig.resolve(base_url=BASE, api_key=KEY), max_retries=0)
"""
STRICT = ("-X", "dev", "-W", "error")


def test_five_event_loops_in_a_row_leave_nothing_open(gateway: LocalGateway) -> None:
    code = """
    async def main():
        await asyncio.gather(*[transport.acomplete(BODY) for _ in range(5)])
        async for _ in await transport.astream(BODY):
            pass
        async for _ in await transport.astream(BODY):
            break
        pieces = await transport.astream(BODY)
        await anext(pieces)
        await pieces.aclose()
        await transport.astream(BODY)
        await asyncio.sleep(0.05)
    for _ in range(5):
        asyncio.run(main(), debug=False)
        gc.collect()
        names = os.listdir("/proc/self/fd") if sys.platform == "linux" else []
        assert not [name for name in names if "socket" in link(name)]
    assert threading.active_count() == 1
    print("done")
    """
    link = """
    def link(name):
        try:
            return os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            return ""
    """
    assert _python(textwrap.dedent(link) + textwrap.dedent(code), gateway, *STRICT) == "done\n"
    assert eventually(lambda: gateway.open_connections == 0)


def test_a_loop_that_ends_amid_requests_ends_quietly(gateway: LocalGateway) -> None:
    gateway.script(*[Reply.text(SLOW, chunk_delay=0.05)] * 3, *[Reply.text("x", delay=60.0)] * 3)
    code = """
    async def read():
        async for _ in await transport.astream(BODY):
            pass
    async def main():
        tasks = [asyncio.create_task(read()) for _ in range(6)]
        await asyncio.to_thread(sys.stdin.readline)
        return len(tasks)
    print(asyncio.run(main(), debug=False))
    gc.collect()
    """
    process = _start(code, gateway, *STRICT)
    assert eventually(lambda: len(gateway.requests) == 6)
    assert _ended(process) == "6\n"
    assert eventually(lambda: len(gateway.disconnects) == 6)


def test_a_process_that_ends_amid_a_stream_ends_quietly(gateway: LocalGateway) -> None:
    gateway.script(Reply.text(SLOW, chunk_delay=0.05))
    code = """
    pieces = transport.stream(BODY)
    print(bool(next(pieces).text))
    """
    assert _python(code, gateway, *STRICT) == "True\n"
    assert eventually(lambda: bool(gateway.disconnects))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_a_connection_of_its_own(gateway: LocalGateway) -> None:
    code = """
    transport.complete(BODY)
    child = os.fork()
    if child == 0:
        try:
            transport.complete(BODY)
            asyncio.run(transport.acomplete(BODY), debug=False)
            os.write(1, b"child ")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    transport.complete(BODY)
    print("parent")
    """
    assert _python(code, gateway, *STRICT) == "child parent\n"
    assert gateway.connections == 3
    assert len(gateway.requests) == 4


def test_without_httpx2_the_same_works_on_httpx(gateway: LocalGateway) -> None:
    code = """
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *more: None if name == "httpx2" else find(name, *more)
    assert transport.complete(BODY).finish_reason == "stop"
    assert list(transport.stream(BODY))[-1].finish_reason == "stop"
    assert asyncio.run(transport.acomplete(BODY), debug=False).finish_reason == "stop"
    from kilocode_gateway.errors import ConnectionFailedError
    try:
        Transport(GatewayConfig.resolve(base_url="http://127.0.0.1:1", api_key=KEY), max_retries=0).complete(BODY)
    except ConnectionFailedError as error:
        print("httpx2" in sys.modules, "httpx" in sys.modules, error.retryable)
    """
    assert _python(code, gateway) == "False True True\n"
    assert gateway.last_request.headers["user-agent"].startswith("python-httpx/")


def test_loopback_is_reached_without_the_proxy(
    gateway: LocalGateway, make_gateway: Callable[..., LocalGateway]
) -> None:
    proxy = make_gateway()
    code = """
    transport.complete(BODY)
    asyncio.run(transport.acomplete(BODY), debug=False)
    """
    address = f"http://127.0.0.1:{proxy.port}"
    _python(code, gateway, http_proxy=address, HTTP_PROXY=address, HTTPS_PROXY=address, ALL_PROXY=address)
    assert len(gateway.requests) == 2
    assert proxy.connections == 0
