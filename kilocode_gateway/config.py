"""Where the gateway is and who asks: key, address, organization and feature, from arguments and the environment."""

from __future__ import annotations

import hashlib
import inspect
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex
from urllib.parse import urlsplit

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import TypeGuard

DEFAULT_BASE_URL = "https://api.kilo.ai/api/gateway/"
"""The gateway's documented public address."""

KEY_VARIABLES = ("KILOCODE_API_KEY", "KILO_API_KEY")
BASE_URL_VARIABLE = "KILOCODE_BASE_URL"
ORGANIZATION_VARIABLES = ("KILOCODE_ORGANIZATION_ID", "KILO_ORG_ID")
FEATURE_VARIABLE = "KILOCODE_FEATURE"

ORGANIZATION_HEADER = "X-KILOCODE-ORGANIZATIONID"
FEATURE_HEADER = "X-KILOCODE-FEATURE"

_MASK = "**********"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_PLACE = re.compile(rf"(?:\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*)(?::[0-9]+)?\Z", re.IGNORECASE)
"""A host and a port that every program reads alike: no look-alike letters, no backslash, no dot at the end."""
_LONGEST_SHOWN = 80
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
SECRETS = ("api_key", "default_headers")
"""The settings of the frameworks' classes that may hold a secret."""
_MISNAMED = ("openai_api_key", "headers", "extra_headers")
"""What they are called elsewhere: refused, and not shown either."""
_PLAIN_HEADERS = ("accept", "content-", "http-referer", "referer", "user-agent", "x-kilocode-", "x-title")
"""How the names of headers begin that hold no secret."""
_SHORTEST_SECRET = 12
"""Characters. A header with fewer is hardly a secret, and its value may be any word of an answer."""


class Secret:
    """A string that never shows: not in repr, str, logs or tracebacks with locals."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Give the string itself."""
        return self.__value

    def given(self) -> str | Callable[[], str]:
        """Give what the user gave: the string itself, or the function that gives it."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret('{_MASK}')"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__value

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> tuple[type[Secret], tuple[Any]]:
        return (Secret, (self.__value,))


class HiddenText(str):
    """A text like any other that does not show where objects are looked at: in repr, or in tracebacks with locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_MASK}'"

    def __getitem__(self, key: SupportsIndex | slice) -> HiddenText:
        # What prints tracebacks cuts long texts first.
        return HiddenText(super().__getitem__(key))


class KeyFunction(Secret):
    """A key that a function gives anew for each request, such as an organization's token of 15 minutes."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], str]) -> None:
        self.function = function

    def reveal(self) -> str:
        """Ask the function.

        Raises:
            ConfigurationError: If it fails, or gives no string that can stand in a header.

        """
        try:
            given: Any = self.function()
        except Exception as exc:
            # What it raised may hold a key, so its text stays with it.
            msg = (
                f"The function that was given as api_key failed with {type(exc).__name__}, so nothing was sent. "
                "What it raised is this error's __cause__."
            )
            raise ConfigurationError(msg, retryable=True) from exc
        if inspect.iscoroutine(given):
            given.close()
        key, wrong = _secret(given)
        wrong = wrong or _fault(key)
        if key is None or wrong:
            given = None  # a traceback that shows local variables shows no key
            msg = f"The function that was given as api_key gave no key: {wrong or 'what it gave was blank.'}"
            raise ConfigurationError(msg)
        return key.reveal()

    def given(self) -> str | Callable[[], str]:
        """Give the function."""
        return self.function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyFunction) and other.function == self.function

    def __hash__(self) -> int:
        return hash((KeyFunction, self.function))

    def __reduce__(self) -> tuple[type[Secret], tuple[Any]]:
        return (KeyFunction, (self.function,))


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
        given, wrong = (KeyFunction(api_key), "") if is_function(api_key) else _secret(api_key)
        # Wrapped or gone before anything is raised: a traceback that shows local variables shows no key.
        api_key = None
        key = given or _secret(_first(KEY_VARIABLES))[0]
        wrong = wrong or ("" if isinstance(key, KeyFunction) else _fault(key))
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
            fragment, or would send a key unencrypted to another machine.

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


def key_in(headers: Mapping[str, str]) -> Secret | None:
    """Give the key that a request with these headers carries."""
    value = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
    return Secret(value.rpartition(" ")[2]) if value else None


def secrets_in(headers: Mapping[str, str]) -> tuple[Secret, ...]:
    """Give what a request with these headers carries that no error may repeat: the key, and what else may be one."""
    key = key_in(headers)
    others = {
        value
        for name, value in headers.items()
        if len(value) >= _SHORTEST_SECRET and not name.lower().startswith(_PLAIN_HEADERS)
    }
    found = [Secret(str(value)) for value in sorted(others, key=len, reverse=True)]
    return tuple(found) if key is None else (key, *found)


def hidden_headers(headers: object) -> tuple[dict[str, str], str]:
    """Give headers with values that do not show, or none and what is wrong with them."""
    if not isinstance(headers, Mapping):
        return {}, f"Headers must be a dict of names and texts, got {type(headers).__name__}."
    for name, value in headers.items():
        fine = all(isinstance(text, str) for text in (name, value)) and _HEADER_NAME.match(name)
        if not fine or not value.isascii() or any(ch in value for ch in "\r\n\0"):
            return {}, (
                f"The header {name!r} cannot be sent (its value is not shown here): names are words, values are ASCII "
                "text on one line."
            )
    return {name: HiddenText(value) for name, value in headers.items()}, ""


def hide_secrets(settings: MutableMapping[str, Any], hide_key: Callable[[str], object] = HiddenText) -> None:
    """Put the key and the headers among a class's settings into texts that do not show, before anything can show them.

    What is wrong is taken out first: pydantic's own errors would print it, and so would a traceback that shows local
    variables.

    Args:
        settings: What was given, by name; changed in place.
        hide_key: Wraps the key.

    Raises:
        ConfigurationError: If the key is no string, or the headers cannot be sent.

    """
    wrong = ""
    for name in _MISNAMED:
        if settings.get(name):
            settings[name] = HiddenText(settings[name])
    if settings.get("default_headers") is not None:
        settings["default_headers"], wrong = hidden_headers(settings["default_headers"])
    key = settings.get("api_key")
    if key is not None and not is_function(key):
        for method in ("get_secret_value", "reveal"):
            if not isinstance(key, type) and hasattr(key, method):
                key = getattr(key, method)()
        if isinstance(key, str):
            settings["api_key"] = hide_key(key)
        else:
            settings["api_key"] = None
            wrong = (
                f"The api_key must be a string, got {type(key).__name__}. Pass api_key='...', or set KILOCODE_API_KEY."
            )
    key = None
    if wrong:
        raise ConfigurationError(wrong)


def is_function(key: object) -> TypeGuard[Callable[[], str]]:
    """Say whether a key is a function that gives it."""
    return callable(key) and not isinstance(key, type)


def _text(value: str | None) -> str | None:
    return value.strip() or None if value is not None else None


def _first(names: tuple[str, ...]) -> str | None:
    return next((_without_blanks(text) for name in names if (text := os.environ.get(name, "")).strip()), None)


def _without_blanks(value: str) -> str:
    # Only what a clipboard adds by accident: a line break is kept, so that it is refused below.
    return value.strip(" \t")


def _secret(value: Any) -> tuple[Secret | None, str]:
    """Wrap a key, and say what is wrong with it; blanks around it are a slip of the clipboard."""
    if isinstance(value, Secret):
        value = value.reveal()
    elif hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None:
        return None, ""
    if not isinstance(value, str):
        return None, f"The api_key must be a string, got {type(value).__name__}."
    return (Secret(_without_blanks(value)) if value.strip() else None), ""


def _fault(key: Secret | None) -> str:
    """Say why a key cannot stand in a header."""
    text = key.reveal() if key is not None else ""
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    if "\n" in text or "\r" in text:
        kind = "a line break"
    else:
        kind = "a blank or control character" if text.isascii() else "a non-ASCII character"
    return (
        f"The API key contains {kind}, so it cannot be sent (the key is not shown here). "
        "Copy it again from your profile at app.kilo.ai, and check api_key or KILOCODE_API_KEY."
    )


def header_value(value: str | None, what: str) -> str | None:
    """Give a value that can stand in a header.

    Raises:
        ConfigurationError: If it holds anything but printable ASCII.

    """
    if value is not None and not (value.isascii() and value.isprintable()):
        msg = f"The {what} must be printable ASCII, got {value!r}."
        raise ConfigurationError(msg)
    return value
