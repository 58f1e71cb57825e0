"""Where the gateway is and who asks: key, address, organization and feature, from arguments and the environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import HiddenText, KeyFunction, Secret, is_function, key_fault, without_blanks, wrapped_key

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BASE_URL = "https://api.kilo.ai/api/gateway/"
"""The gateway's documented public address."""

KEY_VARIABLES = ("KILOCODE_API_KEY", "KILO_API_KEY")
BASE_URL_VARIABLE = "KILOCODE_BASE_URL"
ORGANIZATION_VARIABLES = ("KILOCODE_ORGANIZATION_ID", "KILO_ORG_ID")
FEATURE_VARIABLE = "KILOCODE_FEATURE"

ORGANIZATION_HEADER = "X-KILOCODE-ORGANIZATIONID"
FEATURE_HEADER = "X-KILOCODE-FEATURE"

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_PLACE = re.compile(rf"(?:\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*)(?::[0-9]+)?\Z", re.IGNORECASE)
"""A host and a port that every program reads alike: no look-alike letters, no backslash, no dot at the end."""
_ENDPOINT = re.compile(r"/(?:(?:(?:chat|fim)/)?completions|embeddings|models)/*\Z", re.IGNORECASE)
"""What is asked for, at the end of what should be the address below which it is asked for."""
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Say where the gateway is and who asks.

    Build it with `GatewayConfig.resolve`, which reads the environment and checks what it finds.
    """

    api_key: Secret | None = None
    """The bearer token. None sends no `Authorization` header: only free models answer then."""
    base_url: str = DEFAULT_BASE_URL
    """The gateway's address, always with a slash at its end."""
    organization_id: str | None = None
    """The organization that is billed and whose policy applies."""
    feature: str | None = None
    """What the gateway's usage page calls this program. No functional effect."""
    api_key_from_env: bool = False
    """True when the key came from the environment, so that it need not travel with a copy."""

    @classmethod
    def resolve(
        cls,
        *,
        api_key: object | None = None,
        base_url: str | None = None,
        organization_id: str | None = None,
        feature: str | None = None,
    ) -> GatewayConfig:
        """Fill what was not given from the environment, then from the defaults.

        Args:
            api_key: The key: a string, a `Secret`, anything with `get_secret_value()`, or a function that gives it,
                which is asked for each request, in event loops too, so it should be quick.
                Then `KILOCODE_API_KEY`, then `KILO_API_KEY`.
            base_url: The address, with or without a slash at its end.
                Then `KILOCODE_BASE_URL`, then the public gateway.
            organization_id: Then `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`.
            feature: Then `KILOCODE_FEATURE`.

        Blank strings count as absent.

        Raises:
            ConfigurationError: If the key cannot stand in a header, or the address is no http(s) URL.

        """
        given, wrong = (KeyFunction(api_key), "") if is_function(api_key) else wrapped_key(api_key)
        # Wrapped or gone before anything is raised: a traceback that shows local variables shows no key.
        api_key = None
        key = given or wrapped_key(_first(KEY_VARIABLES))[0]
        wrong = wrong or ("" if isinstance(key, KeyFunction) else key_fault(key))
        if wrong:
            raise ConfigurationError(wrong)
        return cls(
            api_key=key,
            base_url=checked_base_url(_text(base_url) or _first((BASE_URL_VARIABLE,)) or DEFAULT_BASE_URL),
            organization_id=header_value(_text(organization_id) or _first(ORGANIZATION_VARIABLES), "organization id"),
            feature=header_value(_text(feature) or _first((FEATURE_VARIABLE,)), "feature"),
            api_key_from_env=key is not None and given is None,
        )

    @property
    def identity(self) -> tuple[str, str | None]:
        """The address and the organization: what a model list belongs to."""
        return (self.base_url, self.organization_id)

    def asker(self, headers: Mapping[str, str] | None = None) -> str:
        """Give a short digest of who asks, by which caches keep answers apart; no key or header can be read from it.

        Args:
            headers: Further headers that go with each request.

        A key function is not asked: its tokens change while the account stays.
        """
        key = "" if self.api_key is None or isinstance(self.api_key, KeyFunction) else self.api_key.reveal()
        told = [key, *sorted(f"{name.lower()}: {value}" for name, value in (headers or {}).items())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

    @property
    def is_default_origin(self) -> bool:
        """True when requests go to the public gateway's own host."""
        return _origin(self.base_url) == _origin(DEFAULT_BASE_URL)

    def url(self, path: str) -> str:
        """Give the whole address of a path: `models` below the base, `/api/profile` on its host."""
        if path.startswith("/"):
            return _origin(self.base_url) + path
        return self.base_url + path

    def headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the headers that say who asks; the gateway's own win over `extra`.

        Args:
            extra: Further headers by name. An `Authorization` among them is used only where no key is set.

        """
        own: dict[str, str] = {}
        if self.api_key is not None:
            own["Authorization"] = HiddenText(f"Bearer {self.api_key.reveal()}")
        if self.organization_id is not None:
            own[ORGANIZATION_HEADER] = self.organization_id
        if self.feature is not None:
            own[FEATURE_HEADER] = self.feature
        if not extra:
            return own
        names = {name.lower() for name in own}
        return {**{name: value for name, value in extra.items() if name.lower() not in names}, **own}


def checked_base_url(url: str) -> str:
    """Give the address with a slash at its end, or say what is wrong with it.

    Raises:
        ConfigurationError: If it has no http(s) scheme or no plain host, or carries credentials, a query or a
            fragment, or would send a key unencrypted to another machine, or ends in the path of an endpoint.

    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = urlsplit(""), False
    fix = f"Give it as in {DEFAULT_BASE_URL!r}, or set {BASE_URL_VARIABLE}."
    if parts.username is not None or parts.password is not None:
        msg = f"The gateway address must not carry credentials. Pass the key as api_key, or set KILOCODE_API_KEY. {fix}"
        raise ConfigurationError(msg)
    odd = any(ch.isspace() or not ch.isprintable() or ch == "\\" for ch in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok or odd:
        msg = f"The gateway address must be an http(s) URL with a host, got {_shown(text)}. {fix}"
        raise ConfigurationError(msg)
    if "?" in text or "#" in text:
        msg = f"The gateway address must have no query and no fragment, got {_shown(text)} and more. {fix}"
        raise ConfigurationError(msg)
    if not _PLACE.match(parts.netloc) or (":" in parts.hostname and not _is_address(parts.hostname)):
        msg = (
            f"The gateway address must name a host in plain ASCII, got {parts.hostname!r}: letters that look alike "
            f"would send the key to somebody else. Write a host in other letters as 'xn--...', without a dot at its "
            f"end. {fix}"
        )
        raise ConfigurationError(msg)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        msg = (
            f"The gateway address {text!r} is not encrypted: the key and every prompt could be read on the way. "
            "Use https://. Plain http:// is allowed to this machine only."
        )
        raise ConfigurationError(msg)
    base = _ENDPOINT.sub("", text)
    if base != text:
        msg = f"The gateway address must end before {text[len(base) :]!r}, which is added to it. Give {base + '/'!r}."
        raise ConfigurationError(msg)
    return text.rstrip("/") + "/"


def _shown(address: str) -> str:
    """Show an address without what may be a secret, and nothing of what is none: it may be a key in the wrong place."""
    text = re.split(r"[?#]", address, maxsplit=1)[0].rpartition("@")[2]
    if "://" not in address and (len(text) > _LONGEST_SHOWN or not re.search(r"[./:]", text)):
        return f"a text of {len(address)} characters"
    return repr(text)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> str:
    parts = urlsplit(url)
    usual = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual)}"


def _text(value: str | None) -> str | None:
    return value.strip() or None if value is not None else None


def _first(names: tuple[str, ...]) -> str | None:
    return next((without_blanks(text) for name in names if (text := os.environ.get(name, "")).strip()), None)


def header_value(value: str | None, what: str) -> str | None:
    """Give a value that can stand in a header.

    Raises:
        ConfigurationError: If it holds anything but printable ASCII.

    """
    if value is not None and not (value.isascii() and value.isprintable()):
        msg = f"The {what} must be printable ASCII, got {value!r}."
        raise ConfigurationError(msg)
    return value
