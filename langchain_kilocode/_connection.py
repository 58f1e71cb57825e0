"""How a model object comes to its transport, and what of it travels with copies and pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.transport import Transport
from langchain_kilocode.errors import LANGCHAIN_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

LIVE = ("http_client", "http_async_client", "rate_limiter", "cache", "callbacks")
"""Fields that hold connections, locks or what this process remembers: a pickle leaves them out, a deep copy shares
them."""


class Memory:
    """What a model object keeps beside its settings. A copy or a pickle begins with an empty one."""

    __slots__ = ("connection", "profile")

    def __init__(self) -> None:
        self.connection: tuple[tuple[Any, ...], Transport] | None = None
        self.profile: tuple[str, GatewayConfig, dict[str, Any]] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory)

    def __hash__(self) -> int:
        return hash(Memory)

    def __deepcopy__(self, memo: object) -> Memory:
        return Memory()

    def __reduce__(self) -> tuple[type[Memory], tuple[()]]:
        return (Memory, ())


class Connected(Protocol):
    """The settings that say how to reach the gateway."""

    api_key: SecretStr | str | None
    base_url: str | None
    organization_id: str | None
    feature: str | None
    request_timeout: Any
    max_retries: int | None
    default_headers: Mapping[str, str] | None
    http_client: Any
    http_async_client: Any


def hide_key(settings: MutableMapping[str, Any]) -> None:
    """Put the key of these settings into a `SecretStr`, before anything can show it.

    A key of a wrong type is taken out of them first: pydantic's own error would print it, and so would a traceback
    that shows local variables.

    Raises:
        ConfigurationError: If it is no string.

    """
    key = settings.get("api_key")
    if key is None or isinstance(key, SecretStr):
        return
    for method in ("get_secret_value", "reveal"):
        if not isinstance(key, type) and hasattr(key, method):
            key = getattr(key, method)()
    if isinstance(key, str):
        settings["api_key"] = SecretStr(key)
        return
    settings["api_key"], key = None, type(key).__name__
    msg = f"The api_key must be a string, got {key}. Pass api_key='...', or set KILOCODE_API_KEY."
    raise ConfigurationError(msg)


def connection(model: Connected, memory: Memory) -> Transport:
    """Give the transport for the settings as they are now; the same one as long as they stay the same.

    Raises:
        ConfigurationError: If one of them cannot be used.

    """
    headers = model.default_headers
    settings = (
        model.api_key,
        model.base_url,
        model.organization_id,
        model.feature,
        model.request_timeout,
        model.max_retries,
        model.http_client,
        model.http_async_client,
        dict(headers) if headers else None,
    )
    known = memory.connection
    if known is not None and known[0] == settings:
        return known[1]
    config = GatewayConfig.resolve(
        api_key=model.api_key, base_url=model.base_url, organization_id=model.organization_id, feature=model.feature
    )
    transport = Transport(
        config,
        timeout=model.request_timeout,
        max_retries=2 if model.max_retries is None else model.max_retries,
        errors=LANGCHAIN_ERRORS,
        http_client=model.http_client,
        http_async_client=model.http_async_client,
        headers=headers,
    )
    memory.connection = (settings, transport)
    return transport


def without_connections(state: dict[Any, Any]) -> dict[Any, Any]:
    """Take out of a pickle's state what cannot travel."""
    fields = {
        # Whether to use the cache of everybody is a setting like others.
        name: None if name in LIVE and not isinstance(value, bool) else value
        for name, value in state["__dict__"].items()
        if name != "_serialized"
    }
    return {**state, "__dict__": fields}


def shared_in_copies(fields: dict[str, Any], memo: dict[int, Any] | None) -> dict[int, Any]:
    """Make a deep copy share what cannot be copied."""
    memo = {} if memo is None else memo
    for name in LIVE:
        value = fields.get(name)
        memo.update({id(item): item for item in (value if isinstance(value, list) else [value])})
    return memo
