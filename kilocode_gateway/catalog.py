"""The gateway's models: discovered, kept on disk, and filled up with what is known without asking."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from kilocode_gateway import cache
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import (
    AuthenticationError,
    ConfigurationError,
    KiloCodeError,
    MalformedReplyError,
    TimeoutExceededError,
)
from kilocode_gateway.flights import Flight
from kilocode_gateway.http import Answer, aget, get
from kilocode_gateway.listing import read_listing
from kilocode_gateway.model_map import ModelMap, UnknownModelError

if TYPE_CHECKING:
    from kilocode_gateway.cache import Identity
    from kilocode_gateway.model_map import Source

__all__ = ["Catalog", "UnknownModelError"]

_log = logging.getLogger("kilocode_gateway")

FETCH_SECONDS = 5.0
"""How long a fetch may take, unless the caller says otherwise."""
RETRY_SECONDS = 60.0
"""How long a failed fetch is not tried again."""
# The fetch keeps to its limit by itself, and says better what it waited for; who waits for it gives it this much more.
_GRACE = 0.25


class Catalog(ModelMap):
    """The models of one gateway, by id: those that were discovered, then those of the bundled fallback.

    Look a model up by any form of its name: `catalog["kilo/auto"]`, `catalog["kilocode/anthropic/claude-sonnet-4.6"]`.
    Where the gateway knows `kilo/auto` only under its newer name, it has the facts of that one.
    Make one with `Catalog.discover()`.
    """

    @classmethod
    def discover(
        cls,
        *,
        config: GatewayConfig | None = None,
        api_key: object | None = None,
        base_url: str | None = None,
        organization_id: str | None = None,
        timeout: float = FETCH_SECONDS,
        refresh: bool = False,
        http_client: Any = None,
    ) -> Catalog:
        """Give the gateway's models: from memory or the disk while they are fresh (6 hours), else fetched.

        However many ask at once, one request is made. A failure is no error: the last good list is given, marked as
        stale, or the bundled one, and one warning in the log says which and why. It is not tried again for 60 seconds.

        Args:
            config: The gateway and who asks; else it is made of the next three arguments and the environment.
            api_key: Not needed, and sent only when given here or in the environment.
            base_url: The gateway's address.
            organization_id: Whose list it is.
            timeout: Seconds for the whole fetch.
            refresh: Fetch even when a fresh list is at hand, or the last fetch has just failed.
            http_client: A client of httpx or httpx2 to use instead of the shared one.

        Raises:
            ConfigurationError: If a setting cannot be used.

        """
        if config is None:
            config = GatewayConfig.resolve(api_key=api_key, base_url=base_url, organization_id=organization_id)
        seconds = _checked(timeout, http_client)
        return _memory.of(config.identity).discover(config, seconds, http_client, refresh=refresh)

    @classmethod
    async def adiscover(
        cls,
        *,
        config: GatewayConfig | None = None,
        api_key: object | None = None,
        base_url: str | None = None,
        organization_id: str | None = None,
        timeout: float = FETCH_SECONDS,  # noqa: ASYNC109 - a limit in seconds, as everywhere here
        refresh: bool = False,
        http_async_client: Any = None,
    ) -> Catalog:
        """Do what `discover` does, without blocking the event loop; a client that is handed in is an async one."""
        if config is None:
            config = GatewayConfig.resolve(api_key=api_key, base_url=base_url, organization_id=organization_id)
        seconds = _checked(timeout, http_async_client)
        return await _memory.of(config.identity).adiscover(config, seconds, http_async_client, refresh=refresh)

    @classmethod
    def at_hand(cls, config: GatewayConfig) -> Catalog:
        """Give what is known without a request: from memory, else from the disk however old, else bundled."""
        return _memory.of(config.identity).at_hand()

    @classmethod
    def look(cls, config: GatewayConfig, *, http_client: Any = None) -> Catalog:
        """Give the models to code that cannot wait inside an event loop.

        Outside a running loop this is `discover`. Inside one it gives what is at hand and begins a fetch in the
        background, so that a later look finds it.
        """
        slot = _memory.of(config.identity)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return slot.discover(config, FETCH_SECONDS, http_client, refresh=False)
        return slot.begin(config, http_client)

    @classmethod
    def bundled(cls) -> Catalog:
        """Give the models that come with the package."""
        return _BUNDLED


def _checked(timeout: object, client: Any) -> float:
    """Give the time limit, once it and the client can be used."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        msg = f"The timeout of a fetch must be a positive number of seconds, got {timeout!r}."
        raise ConfigurationError(msg)
    if getattr(client, "is_closed", False):
        msg = "The HTTP client that was handed in is closed. Hand in an open one, or none."
        raise ConfigurationError(msg)
    return float(timeout)


class _Slot:
    """What this process knows of one gateway and organization, and the fetch that is under way."""

    def __init__(self, identity: Identity, catalog: Catalog | None = None) -> None:
        self.identity = identity
        self.catalog = catalog
        self._lock = threading.Lock()
        self._flight: Flight[Catalog] | None = None
        self._failing: Flight[Catalog] | None = None
        self._failed = float("-inf")
        self._sought = float("-inf")

    def at_hand(self) -> Catalog:
        if self.catalog is None and time.monotonic() - self._sought >= RETRY_SECONDS:
            self._read_disk()
        return self.catalog or _BUNDLED

    def discover(self, config: GatewayConfig, seconds: float, client: Any, *, refresh: bool) -> Catalog:
        while True:
            entered = self._enter(seconds, refresh=refresh)
            if isinstance(entered, Catalog):
                return entered
            flight, mine = entered
            if mine:
                self._launch(flight, config, seconds, client)
            flight.wait(seconds + _GRACE)
            result = self._result(flight, config, seconds)
            if result is not None:
                return result

    async def adiscover(self, config: GatewayConfig, seconds: float, client: Any, *, refresh: bool) -> Catalog:
        while True:
            entered = self._enter(seconds, refresh=refresh, waits=True)
            if isinstance(entered, Catalog):
                return entered
            flight, mine = entered
            if mine and client is not None:
                await self._fly_here(flight, config, seconds, client)
            elif mine:
                self._launch(flight, config, seconds, None)
            await flight.wait_async(seconds + _GRACE)
            result = self._result(flight, config, seconds)
            if result is not None:
                return result

    def begin(self, config: GatewayConfig, client: Any) -> Catalog:
        """Give what is at hand, and fetch in the background where a fetch is due."""
        entered = self._enter(FETCH_SECONDS, refresh=False)
        if isinstance(entered, Catalog):
            return entered
        flight, mine = entered
        known = self.at_hand()
        if mine:
            self._launch(flight, config, FETCH_SECONDS, client)
        return known

    def _enter(self, seconds: float, *, refresh: bool, waits: bool = False) -> Catalog | tuple[Flight[Catalog], bool]:
        """Give the catalog where nothing has to be fetched, else the fetch to wait for and whether the asker does it.

        Args:
            seconds: How long a fetch may take.
            refresh: Whether a fresh list and a recent failure count.
            waits: Whether the asker waits without blocking its thread.

        """
        if not refresh:
            known = self._good_enough()
            if known is None and (self._flight is None or self._flight.done):
                # Another process may have fetched it.
                self._read_disk()
        with self._lock:
            known = None if refresh else self._good_enough()
            if known is not None:
                return known
            flight = self._flight
            if flight is not None and not flight.done and (waits or flight.thread != threading.get_ident()):
                return flight, False
            self._flight = Flight(seconds)
            return self._flight, True

    def _good_enough(self) -> Catalog | None:
        known = self.catalog
        if known is not None and known.source != "stale cache" and cache.is_fresh(known.fetched or 0.0):
            return known
        return (known or _BUNDLED) if time.monotonic() - self._failed < RETRY_SECONDS else None

    def _read_disk(self) -> None:
        kept = cache.load(self.identity)
        if kept is None:
            self._sought = time.monotonic()
            return
        source: Source = "cache" if cache.is_fresh(kept.fetched) else "stale cache"
        self._keep(Catalog(kept.lines, source=source, fetched=kept.fetched, skipped=kept.skipped))

    def _keep(self, found: Catalog) -> None:
        with self._lock:
            if self.catalog is None or (self.catalog.fetched or 0.0) < (found.fetched or 0.0):
                self.catalog = found

    def _launch(self, flight: Flight[Catalog], config: GatewayConfig, seconds: float, client: Any) -> None:
        # A thread of its own: an event loop is not blocked, a cancelled asker takes nobody along, and whoever has
        # waited long enough can go.
        thread = threading.Thread(
            target=self._fly, args=(flight, config, seconds, client), name="kilocode-gateway-catalog", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            self._fly(flight, config, seconds, client)

    def _fly(self, flight: Flight[Catalog], config: GatewayConfig, seconds: float, client: Any) -> None:
        try:
            try:
                answer = get(config, "models", timeout=seconds, client=client)
            except AuthenticationError:
                if (anybody := _anonymous(config)) is None:
                    raise
                answer = get(anybody, "models", timeout=flight.seconds_left, client=client)
            self._land(flight, _read(config, answer))
        except Exception as exc:  # noqa: BLE001 - a client that was handed in may raise anything
            self._fail(flight, config, exc)

    async def _fly_here(self, flight: Flight[Catalog], config: GatewayConfig, seconds: float, client: Any) -> None:
        """Fetch with a client that belongs to this event loop."""
        flight.thread = threading.get_ident()
        try:
            async with asyncio.timeout(seconds):
                try:
                    answer = await aget(config, "models", timeout=seconds, client=client)
                except AuthenticationError:
                    if (anybody := _anonymous(config)) is None:
                        raise
                    answer = await aget(anybody, "models", timeout=flight.seconds_left, client=client)
                self._land(flight, await asyncio.to_thread(_read, config, answer))
        except TimeoutError:
            self._fail(flight, config, _too_slow(config, seconds))
        except Exception as exc:  # noqa: BLE001 - a client that was handed in may raise anything
            self._fail(flight, config, exc)
        finally:
            flight.abandon()

    def _land(self, flight: Flight[Catalog], found: Catalog) -> None:
        with self._lock:
            self.catalog = found
            self._failed = float("-inf")
        flight.land(found)

    def _fail(self, flight: Flight[Catalog], config: GatewayConfig, reason: Exception) -> None:
        if self.catalog is None:
            self._read_disk()
        with self._lock:
            if flight.done or self._failing is flight:
                return
            self._failing = flight
            if self.catalog is not None and self.catalog.source != "stale cache":
                self.catalog = self.catalog.as_stale()
            self._failed = time.monotonic()
            given = self.catalog or _BUNDLED
        # Whoever waits goes on when the warning has been given, not before.
        try:
            _warn(config, reason, given)
        finally:
            flight.land(given)

    def _result(self, flight: Flight[Catalog], config: GatewayConfig, seconds: float) -> Catalog | None:
        """Give what a flight came to, once nobody waits for it any longer; None where it has to be tried anew."""
        if flight.done:
            return flight.result()
        reason = _too_slow(config, seconds)
        if flight.overdue:
            self._fail(flight, config, reason)
            return flight.result()
        given = self.at_hand()
        _warn(config, reason, given)
        return given


def _anonymous(config: GatewayConfig) -> GatewayConfig | None:
    """Drop a key that was refused: the list needs none, and the gateway's own client does the same (autumn 2026)."""
    if config.api_key is None or config.organization_id is not None:
        return None
    return GatewayConfig(base_url=config.base_url, feature=config.feature)


def _read(config: GatewayConfig, answer: Answer) -> Catalog:
    try:
        listing = read_listing(answer.body)
    except ValueError as exc:
        msg = f"The answer from {answer.url} is not a model list: {exc}."
        raise MalformedReplyError(msg, status=answer.status, url=answer.url) from None
    fetched = cache.now()
    cache.save(config.identity, listing.lines, fetched, skipped=listing.skipped)
    return Catalog(listing.lines, source="gateway", fetched=fetched, skipped=listing.skipped)


def _too_slow(config: GatewayConfig, seconds: float) -> KiloCodeError:
    url = config.url("models")
    return TimeoutExceededError(f"The answer from {url} took longer than {seconds:g} seconds.", url=url)


def _warn(config: GatewayConfig, reason: Exception, given: Catalog) -> None:
    what = "the bundled models" if given.source == "bundled" else f"the list of {given.age or 0:.0f} seconds ago"
    told = str(reason) if isinstance(reason, KiloCodeError) else f"{type(reason).__name__}: {reason}"
    _log.warning("The models of %s could not be discovered; used instead: %s. %s", config.base_url, what, told)


class _Memory:
    """The slots of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[Identity, _Slot] = {}

    def of(self, identity: Identity) -> _Slot:
        slot = self._slots.get(identity)
        if slot is None:
            with self._lock:
                slot = self._slots.setdefault(identity, _Slot(identity))
        return slot

    def copy(self) -> _Memory:
        """Keep what is known, but no lock and no fetch: those are of the process that was forked."""
        fresh = _Memory()
        fresh._slots = {identity: _Slot(identity, slot.catalog) for identity, slot in list(self._slots.items())}
        return fresh


_BUNDLED = Catalog({}, source="bundled")
_memory = _Memory()


def _copy_after_fork() -> None:
    global _memory  # noqa: PLW0603 - what belongs to a process is replaced with the process
    _memory = _memory.copy()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copy_after_fork)
