"""The gateway's models: discovered, kept on disk, and filled up with what is known without asking."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import html
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from kilocode_gateway import bundled, cache
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import AuthenticationError, ConfigurationError, KiloCodeError, MalformedReplyError
from kilocode_gateway.http import get
from kilocode_gateway.listing import read_listing
from kilocode_gateway.models import SUCCESSORS, ModelInfo, parse_model_ref

if TYPE_CHECKING:
    Identity = tuple[str, str | None]

Source = Literal["gateway", "cache", "stale cache", "bundled"]

_log = logging.getLogger("kilocode_gateway")

RETRY_SECONDS = 60.0
"""How long a failed fetch is not tried again."""
_ROWS_SHOWN = 30


class UnknownModelError(ConfigurationError, KeyError):
    """The catalog has no such model. `details["nearest"]` lists similar ids."""


class Catalog(Mapping[str, ModelInfo]):
    """The models of one gateway, by id: those that were discovered, then those of the bundled fallback.

    Look a model up by any form of its name: `catalog["kilo/auto"]`, `catalog["kilocode/anthropic/claude-sonnet-4.6"]`.
    Make one with `Catalog.discover()`.
    """

    def __init__(
        self,
        entries: Mapping[str, Mapping[str, Any] | bytes],
        *,
        source: Source,
        fetched: float | None = None,
        skipped: int = 0,
    ) -> None:
        self.source: Source = source
        """Where the list comes from: the gateway just now, the disk, the disk though it is too old, or the package."""
        self.skipped = skipped
        """How many entries of the gateway's list could not be read."""
        self._fetched = fetched
        self._discovered = frozenset(entries)
        self._rows: dict[str, Mapping[str, Any] | bytes] = dict(entries)
        for entry in bundled.ENTRIES:
            self._rows.setdefault(entry["id"], entry)
        self._infos: dict[str, ModelInfo] = {}

    @classmethod
    def discover(
        cls,
        *,
        config: GatewayConfig | None = None,
        api_key: object | None = None,
        base_url: str | None = None,
        organization_id: str | None = None,
        timeout: float = 5.0,
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
        return _memory.of(config.identity).discover(config, timeout, http_client, refresh=refresh)

    @classmethod
    async def adiscover(
        cls,
        *,
        config: GatewayConfig | None = None,
        api_key: object | None = None,
        base_url: str | None = None,
        organization_id: str | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109 - a limit in seconds, as everywhere here
        refresh: bool = False,
    ) -> Catalog:
        """Do what `discover` does, without blocking the event loop."""
        if config is None:
            config = GatewayConfig.resolve(api_key=api_key, base_url=base_url, organization_id=organization_id)
        slot = _memory.of(config.identity)
        known = None if refresh else slot.fresh()
        if known is not None:
            return known
        return await asyncio.to_thread(slot.discover, config, timeout, None, refresh=refresh)

    @classmethod
    def at_hand(cls, config: GatewayConfig) -> Catalog:
        """Give what is known without a request: from memory, else from the disk however old, else bundled."""
        return _memory.of(config.identity).at_hand(config.identity)

    @classmethod
    def look(cls, config: GatewayConfig, *, http_client: Any = None) -> Catalog:
        """Give the models to code that cannot wait inside an event loop.

        Outside a running loop this is `discover`. Inside one it gives what is at hand and begins a fetch in the
        background, so that a later look finds it.
        """
        slot = _memory.of(config.identity)
        known = slot.fresh()
        if known is not None:
            return known
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return slot.discover(config, 5.0, http_client, refresh=False)
        slot.begin(config)
        return slot.at_hand(config.identity)

    @classmethod
    def bundled(cls) -> Catalog:
        """Give the models that come with the package."""
        return _BUNDLED

    @property
    def age(self) -> float | None:
        """Seconds since the list was fetched; None for the bundled one."""
        return None if self._fetched is None else max(0.0, time.time() - self._fetched)

    def is_discovered(self, id_: str) -> bool:
        """Say whether the gateway itself listed this very id."""
        return id_ in self._discovered

    def __getitem__(self, reference: str) -> ModelInfo:
        id_ = self._id(reference)
        info = self._infos.get(id_) if id_ is not None else None
        if info is not None:
            return info
        if id_ is None:
            near = self.nearest(reference)
            hint = (
                f"Did you mean {' or '.join(repr(name) for name in near)}?"
                if near
                else "`list(catalog)` gives the ids."
            )
            msg = f"The catalog (source: {self.source}) has no model {reference!r}. {hint}"
            raise UnknownModelError(msg, nearest=near)
        row = self._rows[id_]
        info = self._infos[id_] = ModelInfo.from_entry(json.loads(row) if isinstance(row, bytes) else row)
        return info

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, reference: object) -> bool:
        return isinstance(reference, str) and bool(reference.strip()) and self._id(reference) is not None

    def _id(self, reference: str) -> str | None:
        id_ = parse_model_ref(reference)
        successor = SUCCESSORS.get(id_)
        if successor in self._discovered and id_ not in self._discovered:
            return successor
        return id_ if id_ in self._rows else None

    def find(
        self,
        text: str | None = None,
        *,
        vision: bool | None = None,
        tools: bool | None = None,
        reasoning: bool | None = None,
        structured_output: bool | None = None,
        free: bool | None = None,
        min_context: int | None = None,
        sort: Literal["price", "context", "name"] | None = None,
    ) -> list[ModelInfo]:
        """Give the models that meet every condition.

        Args:
            text: Words that all stand in the id, the name or the description.
            vision: Whether images go in. For this and the next three, None means that it does not matter.
            tools: Whether it calls tools.
            reasoning: Whether it reasons.
            structured_output: Whether answers can be held to a JSON schema.
            free: Whether it is free.
            min_context: The least context window, in tokens.
            sort: `price` (cheapest first, unknown last), `context` (largest first) or `name`; else the gateway's order.

        """
        words = text.lower().split() if text else []
        wanted = [
            (name, value)
            for name, value in (
                ("supports_vision", vision),
                ("supports_tools", tools),
                ("supports_reasoning", reasoning),
                ("supports_structured_output", structured_output),
                ("is_free", free),
            )
            if value is not None
        ]
        found = [
            info
            for info in self.values()
            if all(getattr(info, name) is value for name, value in wanted)
            and (min_context is None or (info.context_window or 0) >= min_context)
            and all(word in f"{info.id} {info.name} {info.description}".lower() for word in words)
        ]
        return found if sort is None else sorted(found, key=_ORDERS[sort])

    def nearest(self, reference: str, n: int = 3) -> list[str]:
        """Give the ids that look most like a reference, best first."""
        wanted = reference.strip().lower()
        names = {id_.lower(): id_ for id_ in self._rows}
        tails = {lower.rpartition("/")[2]: id_ for lower, id_ in names.items()}
        close = [names[name] for name in difflib.get_close_matches(wanted, names, n=n, cutoff=0.6)]
        close += [tails[name] for name in difflib.get_close_matches(wanted.rpartition("/")[2], tails, n=n, cutoff=0.6)]
        return list(dict.fromkeys(close))[:n]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give every model as plain JSON, for a table or a data frame."""
        return [info.to_dict() for info in self.values()]

    def __repr__(self) -> str:
        age = "" if self.age is None else f", age={self.age:.0f} s"
        return f"Catalog({len(self)} models, source={self.source!r}{age})"

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th>{name}</th>" for name in ("id", "context", "USD/M in", "USD/M out", "tools", "images", "reasoning")
        )
        rows = "".join(_html_row(self[id_]) for id_ in list(self)[:_ROWS_SHOWN])
        more = f"<p>and {len(self) - _ROWS_SHOWN} more</p>" if len(self) > _ROWS_SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _html_row(info: ModelInfo) -> str:
    def price(value: object) -> str:
        return "varies" if value is None else f"{value:.2f}"

    abilities = (info.supports_tools, info.supports_vision, info.supports_reasoning)
    cells = [
        info.id,
        f"{info.context_window or '?':,}" if info.context_window else "?",
        price(info.pricing.input),
        price(info.pricing.output),
    ]
    cells += ["yes" if able else "" for able in abilities]
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _price_order(info: ModelInfo) -> tuple[bool, Any, str]:
    price = info.pricing
    known = price.input is not None and price.output is not None
    return (not known, (price.input or 0) + (price.output or 0) if known else 0, info.id)


_ORDERS: dict[str, Any] = {
    "price": _price_order,
    "context": lambda info: (-(info.context_window or 0), info.id),
    "name": lambda info: info.id,
}


class _Slot:
    """What is known of one gateway and organization in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._failed = float("-inf")
        self._fetching: threading.Thread | None = None

    def fresh(self) -> Catalog | None:
        known = self._catalog
        if known is None:
            return None
        if known.source == "stale cache" or known.age is None or known.age > cache.TIME_TO_LIVE:
            return known if time.monotonic() - self._failed < RETRY_SECONDS else None
        return known

    def at_hand(self, identity: Identity) -> Catalog:
        if self._catalog is None:
            self._catalog = _from_disk(identity)
        return self._catalog or _BUNDLED

    def discover(self, config: GatewayConfig, timeout: float, http_client: Any, *, refresh: bool) -> Catalog:
        with self._lock:
            if not refresh:
                self.at_hand(config.identity)
                known = self.fresh()
                if known is not None:
                    return known
                if time.monotonic() - self._failed < RETRY_SECONDS:
                    return self.at_hand(config.identity)
            try:
                self._catalog = _fetch(config, timeout, http_client)
            except (KiloCodeError, ValueError) as exc:
                self._failed = time.monotonic()
                self._catalog = _as_stale(self._catalog or _from_disk(config.identity))
                _warn(config, exc, self.at_hand(config.identity))
            return self.at_hand(config.identity)

    def begin(self, config: GatewayConfig) -> None:
        if time.monotonic() - self._failed < RETRY_SECONDS or (
            self._fetching is not None and self._fetching.is_alive()
        ):
            return
        self._fetching = threading.Thread(
            target=self._fetch_quietly, args=(config,), name="kilocode-gateway-catalog", daemon=True
        )
        self._fetching.start()

    def _fetch_quietly(self, config: GatewayConfig) -> None:
        with contextlib.suppress(ConfigurationError):
            self.discover(config, 5.0, None, refresh=False)


def _fetch(config: GatewayConfig, timeout: float, http_client: Any) -> Catalog:
    try:
        answer = get(config, "models", timeout=timeout, client=http_client)
    except AuthenticationError:
        if config.api_key is None or config.organization_id is not None:
            raise
        # The list needs no key; a gateway that refuses a bad one still shows the list to anybody.
        anonymous = GatewayConfig(base_url=config.base_url, feature=config.feature)
        answer = get(anonymous, "models", timeout=timeout, client=http_client)
    try:
        listing = read_listing(answer.body)
    except (ValueError, RecursionError) as exc:
        reason = str(exc) if not isinstance(exc, json.JSONDecodeError) else "it is not JSON"
        msg = f"The answer from {answer.url} is not a model list: {reason}."
        raise MalformedReplyError(msg, status=answer.status, url=answer.url) from None
    fetched = time.time()
    cache.save(config.identity, listing.lines, fetched)
    return Catalog(listing.entries, source="gateway", fetched=fetched, skipped=listing.skipped)


def _from_disk(identity: Identity) -> Catalog | None:
    kept = cache.load(identity)
    if kept is None:
        return None
    return Catalog(kept.lines, source="cache" if kept.age <= cache.TIME_TO_LIVE else "stale cache", fetched=kept.time)


def _as_stale(known: Catalog | None) -> Catalog | None:
    if known is not None:
        known.source = "stale cache"
    return known


def _warn(config: GatewayConfig, reason: BaseException, given: Catalog) -> None:
    what = "the bundled models" if given.source == "bundled" else f"the list of {given.age or 0:.0f} seconds ago"
    _log.warning("The models of %s could not be discovered, so %s stand in. %s", config.base_url, what, reason)


class _Memory:
    """The slots of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[Identity, _Slot] = {}

    def of(self, identity: Identity) -> _Slot:
        slot = self._slots.get(identity)
        if slot is None:
            with self._lock:
                slot = self._slots.setdefault(identity, _Slot())
        return slot


_BUNDLED = Catalog({}, source="bundled")
_memory = _Memory()


def _forget_locks_after_fork() -> None:
    # A fetch may have held a lock when the process was copied. What was known stays known.
    global _memory
    old, _memory = _memory, _Memory()
    for identity, slot in old._slots.items():  # noqa: SLF001 - the same room
        _memory.of(identity)._catalog = slot._catalog  # noqa: SLF001 - the same room


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks_after_fork)
