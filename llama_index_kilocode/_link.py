"""How an object comes to its transport: the settings that say how to reach the gateway, and the user's clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Linked(Protocol):
    """The settings that say how to reach the gateway."""

    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    timeout: Any
    max_retries: int
    default_headers: dict[str, str] | None


def _resolved(setting: Callable[[str], Any]) -> GatewayConfig:
    return GatewayConfig.resolve(
        api_key=setting("api_key"),
        base_url=setting("api_base"),
        organization_id=setting("organization_id"),
        feature=setting("feature"),
    )


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
        key = config.api_key
        settings["api_key"] = None if key is None or config.api_key_from_env else key.given()
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

    def __copy__(self) -> Link:
        return Link(self.http_client, self.http_async_client)

    def __deepcopy__(self, memo: dict[int, Any]) -> Link:
        return self.__copy__()

    def __reduce__(self) -> tuple[type[Link], tuple[()]]:
        return (Link, ())
