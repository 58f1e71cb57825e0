"""Keeps keys and headers out of sight: texts that do not show, and what among settings and headers may be a secret."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import TypeGuard

MASK = "**********"
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
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

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
        return f"'{MASK}'"

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
        key, wrong = wrapped_key(given)
        wrong = wrong or key_fault(key)
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


def wrapped_key(value: Any) -> tuple[Secret | None, str]:
    """Wrap a key, and say what is wrong with it; blanks around it are a slip of the clipboard."""
    if isinstance(value, Secret):
        value = value.reveal()
    elif hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None:
        return None, ""
    if not isinstance(value, str):
        return None, f"The api_key must be a string, got {type(value).__name__}."
    return (Secret(without_blanks(value)) if value.strip() else None), ""


def key_fault(key: Secret | None) -> str:
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


def without_blanks(value: str) -> str:
    """Give a text without what a clipboard adds by accident; a line break is kept, so that it is refused."""
    return value.strip(" \t")
