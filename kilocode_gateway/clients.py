"""HTTP clients that are shared by everything with the same needs: one for a process, a few for an event loop.

A client loads the machine's trust store (about 40 ms and 800 KiB), so it is made once and kept. Time limits, keys and
headers travel with each request, so model objects with different settings can share it.

For each request a client looks through all its connections. With a hundred open, that costs as much as the rest of the
request, so a loop's clients have a few requests open each, and the next client is made when those before it are busy.
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
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from kilocode_gateway.loops import Listed, Turns

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

_MAX_CONNECTIONS = 1000
_MAX_IDLE = 100
_IDLE_SECONDS = 30.0
_MOST_OPEN = 20
"""Requests that one of a loop's clients has open at once."""
_FEW_IDLE = 2
"""Idle connections of a client that only a crowd needs."""
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
        self.by_loop: dict[int, tuple[asyncio.AbstractEventLoop, _LoopClients, Listed[_LoopClients]]] = {}


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
                clients.sync = http_library().Client(**_options(_MAX_CONNECTIONS, _MAX_IDLE))
                atexit.register(clients.sync.close)
    return clients.sync


class LentClient:
    """An async client that is lent for one request."""

    __slots__ = ("_lender", "_turns", "client")

    def __init__(self, client: Any, lender: _Counted | None = None, turns: Turns | None = None) -> None:
        self.client = client
        self._lender = lender
        self._turns = turns

    async def take_turn(self) -> None:
        """Wait until those whose answers came before have gone on."""
        if self._turns is not None:
            await self._turns.take()

    def give_back(self) -> None:
        """Say that the request is over; doing so twice does nothing."""
        lender, self._lender = self._lender, None
        if lender is not None:
            lender.open -= 1
            lender.used_at = time.monotonic()


class _Counted:
    """One of a loop's clients, and how many requests it has open."""

    __slots__ = ("client", "open", "used_at")

    def __init__(self, most_idle: int) -> None:
        self.client: Any = http_library().AsyncClient(**_options(_MOST_OPEN, most_idle))
        for transport in (self.client._transport, *self.client._mounts.values()):  # noqa: SLF001 - there is no other way
            if hasattr(transport, "_pool"):
                transport._pool._close_connections = _close_all  # noqa: SLF001
        self.open = 0
        self.used_at = 0.0


async def _close_all(connections: list[Any]) -> None:
    """Close connections in a row, all of them also where the task is cancelled meanwhile.

    The HTTP library would lose the rest: where a server has ended many idle ones, the next request closes them.
    """
    async with contextlib.AsyncExitStack() as stack:
        for connection in connections:
            stack.push_async_callback(connection.aclose)


class _LoopClients:
    """The clients of one event loop."""

    __slots__ = ("counted", "turns")

    def __init__(self) -> None:
        self.counted: list[_Counted] = []
        self.turns = Turns()

    async def lend(self) -> LentClient:
        """Give the first client with room for one more request."""
        chosen = next((counted for counted in self.counted if counted.open < _MOST_OPEN), None)
        if chosen is None and len(self.counted) * _MOST_OPEN < _MAX_CONNECTIONS:
            chosen = _Counted(_MOST_OPEN if len(self.counted) * _MOST_OPEN < _MAX_IDLE else _FEW_IDLE)
            self.counted.append(chosen)
        elif chosen is None:
            chosen = min(self.counted, key=lambda counted: counted.open)
        if chosen.client.is_closed:
            self.counted.remove(chosen)
            return await self.lend()
        chosen.open += 1
        lent = LentClient(chosen.client, chosen, self.turns)
        try:
            await self._close_last()
        except BaseException:
            lent.give_back()
            raise
        return lent

    async def _close_last(self) -> None:
        """Close the last client where it was needed in a crowd that is gone."""
        last = self.counted[-1]
        if not last.open and last.used_at < time.monotonic() - _IDLE_SECONDS:
            self.counted.pop()
            # One that cannot be closed is no matter of the request that is about to begin.
            with contextlib.suppress(Exception):
                await last.client.aclose()

    async def aclose(self) -> None:
        """Close them all, and raise what the last of those raises that cannot be closed."""
        async with contextlib.AsyncExitStack() as stack:
            while self.counted:
                stack.push_async_callback(self.counted.pop().client.aclose)


async def lend_async_client() -> LentClient:
    """Lend one of the running event loop's clients; they are closed when the loop shuts down its async generators."""
    if not _trust.cache_info().currsize:
        # The first time takes a fifth of a second: importing the library, loading the trust store.
        await asyncio.to_thread(_trust)
    loop = asyncio.get_running_loop()
    by_loop, loop_id = _clients.by_loop, id(loop)
    entry = by_loop.get(loop_id)
    if entry is None or entry[0] is not loop:
        keeper = Listed(_keep(loop_id))
        held = await anext(keeper)
        _close_with(loop, keeper)
        for other_id, (other, *_) in list(by_loop.items()):
            # A loop that was closed without being shut down in good order never told its clients.
            if other.is_closed():
                by_loop.pop(other_id, None)
        entry = by_loop[loop_id] = (loop, held, keeper)
    return await entry[1].lend()


def _close_with(loop: asyncio.AbstractEventLoop, keeper: Listed[_LoopClients]) -> None:
    """Close a loop's clients also where the loop is closed without shutting its async generators down.

    LlamaIndex does so for each sync call inside a running loop, as in a notebook.
    """
    close = loop.close

    def close_clients() -> None:
        loop.run_until_complete(keeper.aclose())

    def close_both() -> None:
        vars(loop).pop("close", None)
        try:
            if loop.is_running() or loop.is_closed():
                return
            if asyncio._get_running_loop() is None:  # noqa: SLF001 - the form that raises nothing
                close_clients()
            else:
                # No loop runs inside another: a program's loop may close the one of a thread that has ended.
                helper = threading.Thread(target=close_clients)
                helper.start()
                helper.join()
        finally:
            close()

    # A loop that is not written in Python lets nobody do this.
    with contextlib.suppress(AttributeError):
        loop.close = close_both  # type: ignore[method-assign]


async def _keep(loop_id: int) -> AsyncGenerator[_LoopClients, None]:
    """Hold a loop's clients open until the loop finalises this generator, as `asyncio.run` does at its end."""
    clients, held = _clients, _LoopClients()
    try:
        yield held
    finally:
        entry = clients.by_loop.get(loop_id)
        if entry is not None and entry[1] is held:
            del clients.by_loop[loop_id]
        await held.aclose()


@functools.cache
def _trust() -> ssl.SSLContext:
    """Load the trust store once, where the HTTP library would load it for each client."""
    context: ssl.SSLContext = http_library().create_ssl_context()
    return context


def _options(most: int, most_idle: int) -> dict[str, Any]:
    library = http_library()
    return {
        "verify": _trust(),
        "timeout": None,
        "follow_redirects": False,
        # A proxy on the way to the world is none on the way to this machine, the only one that is asked without TLS.
        "mounts": dict.fromkeys(("http://", *(f"all://{host}" for host in _LOOPBACK))),
        "limits": library.Limits(
            max_connections=most, max_keepalive_connections=most_idle, keepalive_expiry=_IDLE_SECONDS
        ),
        # Users with different keys share the client, so it keeps no cookies.
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    }
