"""HTTP clients that are shared by everything with the same needs: one for a process, one for an event loop.

A client loads the machine's trust store (about 40 ms and 800 KiB), so it is made once and kept. Time limits, keys and
headers travel with each request, so model objects with different settings can share it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib
import importlib.util
import os
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from kilocode_gateway.loops import Listed

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

_MAX_CONNECTIONS = 1000
_MAX_IDLE = 100
_IDLE_SECONDS = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@functools.cache
def http_library() -> Any:
    """Give httpx2 where it is installed, else httpx."""
    return importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") is not None else "httpx")


class _Clients:
    """The clients of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: Any = None
        self.by_loop: dict[int, tuple[asyncio.AbstractEventLoop, Any, Listed[Any]]] = {}


_clients = _Clients()


def _forget_after_fork() -> None:
    # A child must not write on its parent's connections, and the parent's lock may be held for ever in the copy.
    global _clients  # noqa: PLW0603 - what belongs to a process is replaced with the process
    _clients = _Clients()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def shared_client() -> Any:
    """Give this process's sync client."""
    clients = _clients
    if clients.sync is None or clients.sync.is_closed:
        with clients.lock:
            if clients.sync is None or clients.sync.is_closed:
                clients.sync = http_library().Client(**_options())
                atexit.register(clients.sync.close)
    return clients.sync


async def shared_async_client() -> Any:
    """Give the running event loop's client; it is closed when the loop shuts down its async generators."""
    if not _trust.cache_info().currsize:
        # The first time takes a fifth of a second: importing the library, loading the trust store.
        await asyncio.to_thread(_trust)
    loop = asyncio.get_running_loop()
    by_loop, loop_id = _clients.by_loop, id(loop)
    entry = by_loop.get(loop_id)
    if entry is not None and entry[0] is loop and not entry[1].is_closed:
        return entry[1]
    keeper = Listed(_keep(loop_id))
    client = await anext(keeper)
    _close_with(loop, keeper)
    for other_id, (other, *_) in list(by_loop.items()):
        # A loop that was closed without being shut down in good order never told its client.
        if other.is_closed():
            by_loop.pop(other_id, None)
    by_loop[loop_id] = (loop, client, keeper)
    return client


def _close_with(loop: asyncio.AbstractEventLoop, keeper: Listed[Any]) -> None:
    """Close a loop's client also where the loop is closed without shutting its async generators down.

    LlamaIndex does so for each sync call inside a running loop, as in a notebook.
    """
    close = loop.close

    def close_client() -> None:
        loop.run_until_complete(keeper.aclose())

    def close_both() -> None:
        vars(loop).pop("close", None)
        try:
            if loop.is_running() or loop.is_closed():
                return
            if asyncio._get_running_loop() is None:  # noqa: SLF001 - the form that raises nothing
                close_client()
            else:
                # No loop runs inside another: a program's loop may close the one of a thread that has ended.
                helper = threading.Thread(target=close_client)
                helper.start()
                helper.join()
        finally:
            close()

    # A loop that is not written in Python lets nobody do this.
    with contextlib.suppress(AttributeError):
        loop.close = close_both  # type: ignore[method-assign]


async def _keep(loop_id: int) -> AsyncGenerator[Any, None]:
    """Hold a client open until the loop finalises this generator, as `asyncio.run` does at its end."""
    clients = _clients
    client = http_library().AsyncClient(**_options())
    try:
        yield client
    finally:
        entry = clients.by_loop.get(loop_id)
        if entry is not None and entry[1] is client:
            del clients.by_loop[loop_id]
        await client.aclose()


@functools.cache
def _trust() -> ssl.SSLContext:
    """Load the trust store once, where the HTTP library would load it for each client."""
    context: ssl.SSLContext = http_library().create_ssl_context()
    return context


def _options() -> dict[str, Any]:
    library = http_library()
    return {
        "verify": _trust(),
        "timeout": None,
        "follow_redirects": False,
        # A proxy on the way to the world is none on the way to this machine, the only one that is asked without TLS.
        "mounts": dict.fromkeys(("http://", *(f"all://{host}" for host in _LOOPBACK))),
        "limits": library.Limits(
            max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE, keepalive_expiry=_IDLE_SECONDS
        ),
        # Users with different keys share the client, so it keeps no cookies.
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    }
