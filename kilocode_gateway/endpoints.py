"""Asks the gateway who serves a model: each provider's own limits and prices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kilocode_gateway.errors import InvalidRequestError, MalformedReplyError, ModelNotFoundError
from kilocode_gateway.models import Pricing
from kilocode_gateway.transport import Transport
from kilocode_gateway.wire.values import as_dict, as_dicts, as_int, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilocode_gateway.config import GatewayConfig

_SECONDS = 10.0
_UNKNOWN_HERE = frozenset({404, 405})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One provider that serves a model."""

    provider: str
    """The provider's name."""
    tag: str = ""
    """What the provider is called in a request's `provider` settings."""
    quantization: str | None = None
    context_window: int | None = None
    """Tokens that fit into a request and its answer together; None when unknown."""
    max_output_tokens: int | None = None
    pricing: Pricing = field(default_factory=Pricing)
    uptime: float | None = None
    """Percent of the last half hour; None when it was not told."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Endpoint:
        """Read an entry of `endpoints`, with any of its fields missing or odd."""
        uptime = entry.get("uptime_last_30m")
        return cls(
            provider=as_str(entry.get("provider_name")) or as_str(entry.get("name")) or "?",
            tag=as_str(entry.get("tag")),
            quantization=as_str(entry.get("quantization")) or None,
            context_window=as_int(entry.get("context_length")) or None,
            max_output_tokens=as_int(entry.get("max_completion_tokens")) or None,
            pricing=Pricing.read(as_dict(entry.get("pricing"))),
            uptime=float(uptime) if isinstance(uptime, (int, float)) and not isinstance(uptime, bool) else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as plain JSON: prices as texts, None where unknown."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {**told, "pricing": self.pricing.to_dict()}


def ask_endpoints(config: GatewayConfig, id_: str) -> list[Endpoint] | None:
    """Ask who serves a model.

    Args:
        config: The gateway and who asks.
        id_: The id by which the gateway lists the model.

    Returns:
        None where the gateway has no such list: those before autumn 2026 answer 405, others 404 for its auto models.

    Raises:
        KiloCodeError: If it does not answer.

    """
    transport = Transport(config, timeout=_SECONDS, max_retries=1)
    try:
        answer = transport.request("GET", f"models/{quote(id_, safe='/:')}/endpoints")
    except (InvalidRequestError, ModelNotFoundError) as exc:
        if exc.status in _UNKNOWN_HERE:
            return None
        raise
    listed = as_dict(answer.get("data")).get("endpoints")
    if not isinstance(listed, list):
        msg = f"The answer of {config.url('models/.../endpoints')} has no list of endpoints."
        raise MalformedReplyError(msg)
    return [Endpoint.from_entry(entry) for entry in as_dicts(listed)]
