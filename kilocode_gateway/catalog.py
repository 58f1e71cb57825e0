"""The gateway's models: discovered, kept on disk, and filled up with what is known without asking."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kilocode_gateway import cache
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.discovery import FETCH_SECONDS, LOOK_SECONDS, RETRY_SECONDS, Memory, Slot, checked
from kilocode_gateway.errors import MalformedReplyError
from kilocode_gateway.listing import read_listing
from kilocode_gateway.model_map import ModelMap, UnknownModelError

if TYPE_CHECKING:
    from kilocode_gateway.cache import Identity
    from kilocode_gateway.http import Answer
    from kilocode_gateway.model_map import Source

__all__ = ["Catalog", "UnknownModelError"]


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
        config = config or GatewayConfig.resolve(api_key=api_key, base_url=base_url, organization_id=organization_id)
        seconds = checked(timeout, http_client)
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
        config = config or GatewayConfig.resolve(api_key=api_key, base_url=base_url, organization_id=organization_id)
        seconds = checked(timeout, http_async_client)
        return await _memory.of(config.identity).adiscover(config, seconds, http_async_client, refresh=refresh)

    @classmethod
    def at_hand(cls, config: GatewayConfig) -> Catalog:
        """Give what is known without a request: from memory, else from the disk however old, else bundled."""
        return _memory.of(config.identity).at_hand()

    @classmethod
    def look(cls, config: GatewayConfig, *, http_client: Any = None, wanted: str | None = None) -> Catalog:
        """Give the models to code that cannot wait inside an event loop.

        Outside a running loop this is `discover`. Inside one it gives what is at hand and begins a fetch in the
        background, so that a later look finds it.

        Args:
            config: The gateway and who asks.
            http_client: An HTTP client to use instead of the shared one.
            wanted: A model about which no guess will do. Where it is not at hand inside a running loop, the first look
                of this process blocks the loop until the list is there, for at most `LOOK_SECONDS`.

        """
        slot = _memory.of(config.identity)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return slot.discover(config, FETCH_SECONDS, http_client, refresh=False)
        known = slot.begin(config, http_client)
        return known if wanted is None or wanted in known else slot.wait_once(LOOK_SECONDS)

    @classmethod
    def bundled(cls) -> Catalog:
        """Give the models that come with the package."""
        return _Slot.bundled


class _Slot(Slot[Catalog]):
    path, name = "models", "models"
    bundled = Catalog({}, source="bundled")

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._sought = float("-inf")

    def read(self, answer: Answer) -> Catalog:
        try:
            listing = read_listing(answer.body)
        except ValueError as exc:
            msg = f"The answer from {answer.url} is not a model list: {exc}."
            raise MalformedReplyError(msg, status=answer.status, url=answer.url) from None
        fetched = cache.now()
        cache.save(self.identity, listing.lines, fetched, skipped=listing.skipped)
        return Catalog(listing.lines, source="gateway", fetched=fetched, skipped=listing.skipped)

    def described(self, given: Catalog) -> str:
        return "the bundled models" if given.source == "bundled" else f"the list of {given.age or 0:.0f} seconds ago"

    def is_fresh(self, known: Catalog) -> bool:
        return known.source != "stale cache" and cache.is_fresh(known.fetched or 0.0)

    def stale(self, known: Catalog) -> Catalog:
        return known if known.source == "stale cache" else known.as_stale()

    def seek(self) -> None:
        kept = cache.load(self.identity)
        if kept is None:
            self._sought = time.monotonic()
            return
        source: Source = "cache" if cache.is_fresh(kept.fetched) else "stale cache"
        found = Catalog(kept.lines, source=source, fetched=kept.fetched, skipped=kept.skipped)
        with self._lock:
            if self.known is None or (self.known.fetched or 0.0) < kept.fetched:
                self.known = found

    def at_hand(self) -> Catalog:
        if self.known is None and time.monotonic() - self._sought >= RETRY_SECONDS:
            self.seek()
        return super().at_hand()


_memory = Memory(_Slot)
