"""The Kilo Gateway for Python: model catalog, transport, usage and errors, without any framework.

`langchain_kilocode` and `llama_index_kilocode` build on it. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kilocode_gateway._version import __version__

if TYPE_CHECKING:
    from kilocode_gateway.catalog import Catalog, UnknownModelError
    from kilocode_gateway.config import DEFAULT_BASE_URL, GatewayConfig
    from kilocode_gateway.embedding_models import EmbeddingModelInfo, EmbeddingModels
    from kilocode_gateway.errors import (
        AnonymousQuotaError,
        AuthenticationError,
        BudgetExceededError,
        ConfigurationError,
        ConnectionFailedError,
        ContextLengthExceededError,
        DataCollectionRequiredError,
        InsufficientBalanceError,
        InvalidRequestError,
        KiloCodeError,
        MalformedReplyError,
        ModelNotAllowedError,
        ModelNotFoundError,
        OrganizationError,
        PermissionRefusedError,
        RateLimitError,
        RedirectRefusedError,
        StreamInterruptedError,
        TimeoutExceededError,
        UnknownSettingError,
        UpstreamError,
    )
    from kilocode_gateway.hidden import Secret
    from kilocode_gateway.known_models import KnownEmbeddingModel, KnownFIMModel, KnownModel
    from kilocode_gateway.local import LocalGateway
    from kilocode_gateway.models import ModelInfo, Pricing
    from kilocode_gateway.transport import Transport
    from kilocode_gateway.usage import UsageTracker, track_usage

__all__ = [
    "DEFAULT_BASE_URL",
    "AnonymousQuotaError",
    "AuthenticationError",
    "BudgetExceededError",
    "Catalog",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContextLengthExceededError",
    "DataCollectionRequiredError",
    "EmbeddingModelInfo",
    "EmbeddingModels",
    "GatewayConfig",
    "InsufficientBalanceError",
    "InvalidRequestError",
    "KiloCodeError",
    "KnownEmbeddingModel",
    "KnownFIMModel",
    "KnownModel",
    "LocalGateway",
    "MalformedReplyError",
    "ModelInfo",
    "ModelNotAllowedError",
    "ModelNotFoundError",
    "OrganizationError",
    "PermissionRefusedError",
    "Pricing",
    "RateLimitError",
    "RedirectRefusedError",
    "Secret",
    "StreamInterruptedError",
    "TimeoutExceededError",
    "Transport",
    "UnknownModelError",
    "UnknownSettingError",
    "UpstreamError",
    "UsageTracker",
    "__version__",
    "track_usage",
]

_HOMES = {
    "DEFAULT_BASE_URL": "config",
    "Catalog": "catalog",
    "EmbeddingModelInfo": "embedding_models",
    "EmbeddingModels": "embedding_models",
    "GatewayConfig": "config",
    "KnownEmbeddingModel": "known_models",
    "KnownFIMModel": "known_models",
    "KnownModel": "known_models",
    "LocalGateway": "local",
    "ModelInfo": "models",
    "Pricing": "models",
    "Secret": "hidden",
    "Transport": "transport",
    "UnknownModelError": "catalog",
    "UsageTracker": "usage",
    "track_usage": "usage",
}
"""The module of each public name; the errors are in `errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
