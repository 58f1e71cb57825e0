"""Finds out why requests fail: key, address, account, organization, model list and versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import platform
from dataclasses import dataclass, replace
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
        yield Finding(ok=False, text=f"settings: {exc}")
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
    yield Finding(ok=True, text=f"key: from the environment, length {len(key)}, {ending}")


def _examine_catalog(config: GatewayConfig) -> Iterator[Finding]:
    with _listening() as heard:
        catalog = Catalog.discover(config=config, refresh=True)
    if catalog.source == "gateway":
        skipped = f", {catalog.skipped} more could not be read" if catalog.skipped else ""
        yield Finding(ok=True, text=f"model list: {len(catalog)} models{skipped}")
        return
    yield Finding(
        ok=False, text=f"model list: {' '.join(heard)} The address is that of KILOCODE_BASE_URL, or the default."
    )


def _examine_account(config: GatewayConfig) -> Iterator[Finding]:
    # Without the organization, so that a key that is good is not taken for bad where the organization is foreign.
    personal = replace(config, organization_id=None)
    try:
        profile = Transport(personal, timeout=_SECONDS, max_retries=1).request("GET", "/api/profile")
    except AuthenticationError as exc:
        told = f" The gateway says: {exc.body.get('error')}." if isinstance(exc.body, dict) else ""
        yield Finding(
            ok=False,
            text="account: the gateway does not accept the key: it is mistyped, has expired or was revoked, or the "
            f"user is blocked.{told} Copy the key again from your profile at app.kilo.ai into KILOCODE_API_KEY.",
        )
        return
    except KiloCodeError as exc:
        yield Finding(ok=False, text=f"account: {exc}")
        return
    user = profile.get("user")
    name = user.get("email") or user.get("name") if isinstance(user, dict) else None
    yield Finding(ok=True, text=f"account: signed in as {name or 'an unnamed user'}")
    member = True
    if config.organization_id is not None:
        finding = _organization(config.organization_id, profile.get("organizations"))
        member = finding.ok is not False
        yield finding
    yield _balance(config if member else personal)


def _organization(id_: str, organizations: Any) -> Finding:
    listed = organizations if isinstance(organizations, list) else []
    known = {item.get("id"): item.get("name") for item in listed if isinstance(item, dict)}
    if id_ in known:
        return Finding(ok=True, text=f"organization: {known[id_]}")
    names = ", ".join(f"{name} ({known_id})" for known_id, name in known.items()) or "none"
    return Finding(
        ok=False,
        text=f"organization: {id_} is not one of the account's organizations, which are: {names}. "
        "Correct KILOCODE_ORGANIZATION_ID.",
    )


def _balance(config: GatewayConfig) -> Finding:
    whose = "the organization's balance" if config.organization_id is not None else "balance"
    try:
        answer = Transport(config, timeout=_SECONDS, max_retries=1).request("GET", "/api/profile/balance")
    except KiloCodeError as exc:
        return Finding(ok=False, text=f"{whose}: {exc}")
    amount = answer.get("balance")
    told = f"{amount:.2f} USD" if isinstance(amount, (int, float)) else "not told"
    if answer.get("isDepleted") is True:
        text = f"{whose}: {told}, used up: only free models answer. Add credits at https://app.kilo.ai/profile."
        return Finding(ok=False, text=text)
    return Finding(ok=True, text=f"{whose}: {told}")


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


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
