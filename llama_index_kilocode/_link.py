"""How an object comes to its transport: the settings that say how to reach the gateway, and the user's clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from llama_index.core.bridge.pydantic import BeforeValidator

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


CLIENTS: tuple[str, ...] = ("http_client", "async_http_client")
"""What every constructor takes beside its fields."""
LINKING = frozenset({"api_key", "api_base", "organization_id", "feature", "timeout", "max_retries", "default_headers"})
"""The settings of `Linked`."""


class HTTPTimeout(Protocol):
    """A `Timeout` of httpx or httpx2."""

    def as_dict(self) -> dict[str, float | None]:
        """Give the seconds for `connect`, `read`, `write` and `pool`."""
        ...


class Linked(Protocol):
    """The settings that say how to reach the gateway."""

    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    timeout: Any
    max_retries: int
    default_headers: dict[str, str] | None


def timeout_setting(timeout: Any) -> Any:
    """Give a time limit as an object keeps it, so that it can be written down: a `Timeout` of httpx as a pair.

    Raises:
        ConfigurationError: If it says more than a pair can.

    """
    if not hasattr(timeout, "as_dict"):
        return timeout
    limits = timeout.as_dict()
    connect, read = limits["connect"], limits["read"]
    if set(limits.values()) == {None}:
        return None
    if None in (connect, read) or not limits["write"] == limits["pool"] == read:
        raise ConfigurationError(
            "As a setting, a timeout is kept as (connect, read), and the read's seconds hold for the rest as well, got "
            f"{timeout!r}. Give it to each call instead, or give a pair."
        )
    return (connect, read)


Seconds = Annotated[float | tuple[float, float] | None, BeforeValidator(timeout_setting)]


def _resolved(setting: Callable[[str], Any]) -> GatewayConfig:
    return GatewayConfig.resolve(
        api_key=setting("api_key"),
        base_url=setting("api_base"),
        organization_id=setting("organization_id"),
        feature=setting("feature"),
    )


def given_key(settings: Mapping[str, Any]) -> str | Callable[[], str] | None:
    """Give the key of these settings as an object keeps it: a string or a function, out of whatever held it.

    Raises:
        ConfigurationError: If it is neither.

    """
    return _by_hand(_resolved(settings.get))


def _by_hand(config: GatewayConfig) -> str | Callable[[], str] | None:
    key = config.api_key
    return None if key is None or config.api_key_from_env else key.given()


class Link:
    """What an LLM holds beside its settings: the user's HTTP clients, and the key as it was found.

    Copies keep the clients and find the key anew. Pickles carry neither: a key from the environment stays where it is.
    """

    __slots__ = ("_found", "http_async_client", "http_client")

    def __init__(self, http_client: Any = None, http_async_client: Any = None) -> None:
        self.http_client = http_client
        self.http_async_client = http_async_client
        # One pair, so that no thread sees the settings of one copy with the configuration of another.
        self._found: tuple[tuple[Any, ...], GatewayConfig] | None = None

    @classmethod
    def take(cls, settings: dict[str, Any]) -> Link:
        """Take the clients out of a constructor's settings, and fill in how the gateway is reached.

        That comes from the environment where it was not given. A key from the environment is left there.
        """
        link = cls(settings.pop("http_client", None), settings.pop("async_http_client", None))
        config = _resolved(settings.get)
        settings["api_key"] = _by_hand(config)
        settings["api_base"], settings["organization_id"] = config.base_url, config.organization_id
        settings["feature"] = config.feature
        return link

    def config(self, llm: Linked) -> GatewayConfig:
        """Give the configuration of the settings as they are now; the environment is read once for each."""
        asked, found = (llm.api_key, llm.api_base, llm.organization_id, llm.feature), self._found
        if found is None or found[0] != asked:
            found = self._found = (asked, _resolved(vars(llm).get))
        return found[1]

    def transport(self, llm: Linked, call: Mapping[str, Any] | None = None) -> Transport:
        """Give the way to the gateway under the settings as they are now, and a call's own; nothing is opened."""
        call = call or {}
        return Transport(
            self.config(llm),
            timeout=call.get("timeout", llm.timeout),
            max_retries=llm.max_retries,
            errors=OPENAI_ERRORS,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
            headers={**(llm.default_headers or {}), **(call.get("extra_headers") or {})},
        )

    def with_clients(self, clients: Mapping[str, Any]) -> Link:
        """Give a link with other HTTP clients, by the constructor's names."""
        sync = clients.get("http_client", self.http_client)
        return Link(sync, clients.get("async_http_client", self.http_async_client))

    def __copy__(self) -> Link:
        return Link(self.http_client, self.http_async_client)

    def __deepcopy__(self, memo: dict[int, Any]) -> Link:
        return self.__copy__()

    def __reduce__(self) -> tuple[type[Link], tuple[()]]:
        return (Link, ())
