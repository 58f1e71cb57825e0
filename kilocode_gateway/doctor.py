"""Finds out why requests fail: settings, key, address, model list, cache, account, organization and versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kilocode_gateway import cache
from kilocode_gateway.account import ask_balance, ask_profile
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.clients import http_library
from kilocode_gateway.config import BASE_URL_VARIABLE, KEY_VARIABLES, GatewayConfig
from kilocode_gateway.errors import AuthenticationError, ConfigurationError, KiloCodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = (
    "kilocode-gateway",
    "httpx",
    "httpx2",
    "openai",
    "langchain-core",
    "langchain-openai",
    "llama-index-core",
    "llama-index-llms-openai-like",
)
_PROXIES = ("HTTPS_PROXY", "ALL_PROXY")
_SHOWN = 4
"""Characters of a key that show, where it has four times as many."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis."""

    about: str
    """What was looked at."""
    ok: bool | None
    """True for well, False for a fault, None for a plain fact."""
    text: str
    """What was found, and what to do."""


def examine() -> Iterator[Finding]:
    """Check everything that requests depend on, from the settings to the account, and say what to do.

    The gateway gives one answer to a bad key, a blocked user and a foreign organization; its profile tells them apart.
    """
    try:
        config = GatewayConfig.resolve()
    except ConfigurationError as exc:
        yield Finding("settings", ok=False, text=str(exc))
        yield _versions()
        return
    yield from _address(config)
    yield from _proxies(config)
    yield from _keys(config)
    yield from _examine_list(config)
    if config.api_key is not None:
        yield from _examine_account(config)
    yield _versions()


def _address(config: GatewayConfig) -> Iterator[Finding]:
    source = f"from {BASE_URL_VARIABLE}" if os.environ.get(BASE_URL_VARIABLE, "").strip() else "the default"
    yield Finding("gateway", ok=None, text=f"{config.base_url} ({source})")
    if config.base_url.lower().endswith("/v1/"):
        text = f"it ends in /v1, which older gateways refuse (HTTP 400 or 405): leave /v1 out of {BASE_URL_VARIABLE}"
        yield Finding("address", ok=None, text=text)


def _proxies(config: GatewayConfig) -> Iterator[Finding]:
    """Tell which proxy is on the way; without what signs in to it, and not for this machine, which none leads to."""
    if not config.base_url.startswith("https:"):
        return
    for name in _PROXIES:
        value = os.environ.get(name) or os.environ.get(name.lower())
        if value:
            with contextlib.suppress(ValueError):
                yield Finding("proxy", ok=None, text=f"{urlsplit(value).hostname or 'unreadable'}, from {name}")


def _keys(config: GatewayConfig) -> Iterator[Finding]:
    if config.api_key is None:
        advice = f"Only free models answer; set {KEY_VARIABLES[0]} (your profile at app.kilo.ai) for the others."
        yield Finding("key", ok=None, text=f"none. {advice}")
        return
    key = config.api_key.reveal()
    first, *others = [name for name in KEY_VARIABLES if os.environ.get(name, "").strip()]
    ending = f"…{key[-_SHOWN:]}" if len(key) > 4 * _SHOWN else "too short to show a part of"
    yield Finding("key", ok=True, text=f"from {first}, length {len(key)}, {ending}")
    for name in others:
        if os.environ[name].strip() != os.environ[first].strip():
            yield Finding("another key", ok=None, text=f"{name} holds a different one, which is not used: {first} wins")


def _examine_list(config: GatewayConfig) -> Iterator[Finding]:
    before, began = cache.load(config.identity), time.perf_counter()
    with _listening() as heard:
        catalog = Catalog.discover(config=config, refresh=True)
    if catalog.source == "gateway":
        skipped = f", {catalog.skipped} more could not be read" if catalog.skipped else ""
        text = f"{len(catalog)} models{skipped}, fetched in {time.perf_counter() - began:.2f} seconds"
        yield Finding("model list", ok=True, text=text)
    else:
        advice = f"The address is that of {BASE_URL_VARIABLE}, or the default."
        yield Finding("model list", ok=False, text=f"{' '.join(heard)} {advice}")
    yield _cached(before, cache.load(config.identity), fetched=catalog.source == "gateway")


def _cached(before: cache.CachedList | None, now: cache.CachedList | None, *, fetched: bool) -> Finding:
    if now is None:
        hint = f" It cannot be written to, perhaps: set {cache.FOLDER_VARIABLE} to a folder that can."
        text = f"no list of this gateway is kept in {cache.folder()}.{hint if fetched else ''}"
        return Finding("cache", ok=None, text=text)
    if before is None:
        return Finding("cache", ok=None, text=f"{cache.folder()}, new")
    minutes = max(0.0, cache.now() - before.fetched) / 60
    age = f"{minutes:.0f} minutes old" if cache.is_fresh(before.fetched) else f"too old ({minutes / 60:.0f} hours)"
    renewed = ", and is new now" if now.fetched != before.fetched else ""
    return Finding("cache", ok=None, text=f"{cache.folder()}; the list there was {age}{renewed}")


def _examine_account(config: GatewayConfig) -> Iterator[Finding]:
    # Without the organization, so that a key that is good is not taken for bad where the organization is foreign.
    personal = replace(config, organization_id=None)
    try:
        profile = ask_profile(personal)
    except AuthenticationError as exc:
        told = f" The gateway says: {exc.body.get('error')}." if isinstance(exc.body, dict) else ""
        yield Finding(
            "account",
            ok=False,
            text="the gateway does not accept the key: it is mistyped, has expired or was revoked, or the "
            f"user is blocked.{told} Copy the key again from your profile at app.kilo.ai into {KEY_VARIABLES[0]}.",
        )
        return
    except KiloCodeError as exc:
        yield Finding("account", ok=False, text=str(exc))
        return
    yield Finding("account", ok=True, text=f"signed in as {profile.name or 'an unnamed user'}")
    member = True
    if config.organization_id is not None:
        finding = _organization(config.organization_id, profile.organizations)
        member = finding.ok is not False
        yield finding
    yield _balance(config if member else personal)


def _organization(id_: str, known: dict[str, str]) -> Finding:
    if id_ in known:
        return Finding("organization", ok=True, text=known[id_] or id_)
    names = ", ".join(f"{name} ({known_id})" for known_id, name in known.items()) or "none"
    return Finding(
        "organization",
        ok=False,
        text=f"{id_} is not one of the account's organizations, which are: {names}. Correct KILOCODE_ORGANIZATION_ID.",
    )


def _balance(config: GatewayConfig) -> Finding:
    whose = "the organization's balance" if config.organization_id is not None else "balance"
    try:
        balance = ask_balance(config)
    except KiloCodeError as exc:
        return Finding(whose, ok=False, text=str(exc))
    return Finding(whose, ok=balance.is_depleted is not True, text=balance.told())


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Catch the warnings of this package, which a finding repeats, instead of letting them through to the terminal."""
    heard: list[str] = []
    log = logging.getLogger("kilocode_gateway")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        yield heard
    finally:
        log.removeHandler(handler)


def _versions() -> Finding:
    found = [f"Python {platform.python_version()} on {platform.system()}"]
    used = http_library().__name__
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            found.append(f"{name} {version}{' (used)' if name == used else ''}")
    return Finding("versions", ok=None, text=", ".join(found))
