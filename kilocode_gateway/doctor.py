"""Finds out why requests fail: key, address, account, organization, model list and versions."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import AuthenticationError, ConfigurationError, KiloCodeError
from kilocode_gateway.transport import Transport

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
_SHOWN = 4
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis."""

    ok: bool | None
    """True for well, False for a fault, None for a plain fact."""
    text: str


def examine() -> Iterator[Finding]:
    """Check everything that requests depend on, from the settings to the account, and say what to do.

    The gateway gives one answer to a bad key, a blocked user and a foreign organization; its profile tells them apart.
    """
    try:
        config = GatewayConfig.resolve()
    except ConfigurationError as exc:
        yield Finding(ok=False, text=str(exc))
        return
    yield Finding(ok=None, text=f"gateway: {config.base_url}")
    yield from _examine_key(config)
    yield from _examine_catalog(config)
    if config.api_key is not None:
        yield from _examine_account(config)
    yield Finding(ok=None, text="versions: " + ", ".join([f"Python {platform.python_version()}", *_versions()]))


def _examine_key(config: GatewayConfig) -> Iterator[Finding]:
    if config.api_key is None:
        yield Finding(ok=None, text="key: none. Only free models answer; set KILOCODE_API_KEY for the others.")
        return
    key = config.api_key.reveal()
    ending = f"…{key[-_SHOWN:]}" if len(key) > 4 * _SHOWN else "too short to show a part of"
    yield Finding(ok=True, text=f"key: from the environment, {len(key)} characters, {ending}")


def _examine_catalog(config: GatewayConfig) -> Iterator[Finding]:
    catalog = Catalog.discover(config=config)
    age = "" if catalog.age is None else f", {catalog.age / 60:.0f} minutes old"
    ok = catalog.source in ("gateway", "cache")
    advice = "" if ok else ". The gateway did not answer: check the network, the proxy settings and KILOCODE_BASE_URL."
    yield Finding(ok=ok, text=f"model list: {len(catalog)} models from {catalog.source}{age}{advice}")


def _examine_account(config: GatewayConfig) -> Iterator[Finding]:
    transport = Transport(config, timeout=_SECONDS, max_retries=1)
    try:
        profile = transport.request("GET", "/api/profile")
        balance = transport.request("GET", "/api/profile/balance")
    except AuthenticationError as exc:
        yield Finding(ok=False, text=f"account: the gateway does not accept the key. {exc}")
        return
    except KiloCodeError as exc:
        yield Finding(ok=False, text=f"account: {exc}")
        return
    user = profile.get("user")
    yield Finding(
        ok=True, text=f"account: signed in as {user.get('email') if isinstance(user, dict) else 'an unnamed user'}"
    )
    yield from _examine_organization(config, profile.get("organizations"))
    amount = balance.get("balance")
    if balance.get("isDepleted"):
        yield Finding(ok=False, text=f"balance: {amount} USD, used up. Add credits at https://app.kilo.ai/profile.")
    else:
        yield Finding(ok=True, text=f"balance: {amount} USD")


def _examine_organization(config: GatewayConfig, organizations: Any) -> Iterator[Finding]:
    if config.organization_id is None:
        return
    known = {item.get("id"): item.get("name") for item in organizations or [] if isinstance(item, dict)}
    if config.organization_id in known:
        yield Finding(ok=True, text=f"organization: {known[config.organization_id]}")
        return
    names = ", ".join(f"{name} ({id_})" for id_, name in known.items()) or "none"
    yield Finding(ok=False, text=f"organization: {config.organization_id} is not one of the account's: {names}.")


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
