"""What the tests of the catalog share."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from tests.core.helpers import eventually

if TYPE_CHECKING:
    import pytest

    from kilocode_gateway.local import LocalGateway

PATIENT = 60.0
"""Seconds that a fetch may take which nothing but the test holds up."""
PRICING = {"prompt": "0.000001", "completion": "0.000002"}
MODELS: list[dict[str, Any]] = [
    {
        "id": "acme/large",
        "name": "Acme Large",
        "description": "Writes poems.",
        "context_length": 200_000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.00001", "completion": "0.00003"},
        "supported_parameters": ["tools", "reasoning", "structured_outputs"],
    },
    {"id": "acme/small:free", "name": "Small", "context_length": 8_000, "pricing": {"prompt": "0", "completion": "0"}},
    {
        "id": "beta/middle",
        "name": "Middle",
        "context_length": 64_000,
        "pricing": PRICING,
        "supported_parameters": ["temperature"],
    },
    {"id": "beta/varies", "name": "Varies", "pricing": {"prompt": "-1", "completion": "-1"}, "isFree": False},
]
FAMILY = [
    "kilo/auto",
    "kilo-auto/frontier",
    "kilo-auto/balanced",
    "kilo-auto/efficient",
    "kilo-auto/free",
    "kilo-auto/small",
]


class Door:
    """Holds back what the gateway answers, while it is shut."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, _request: Any) -> None:
        assert self.opened.wait(PATIENT)


def config_of(gateway: LocalGateway, **more: Any) -> GatewayConfig:
    return GatewayConfig.resolve(base_url=gateway.base_url, **more)


def discover(gateway: LocalGateway, **more: Any) -> Catalog:
    return Catalog.discover(base_url=gateway.base_url, **more)


def fetches(gateway: LocalGateway) -> int:
    return sum(request.path.endswith("/models") for request in list(gateway.requests))


def one_warning(caplog: pytest.LogCaptureFixture) -> str:
    """Give the only warning, which another thread may be about to log."""
    assert eventually(lambda: warnings_in(caplog))
    (warning,) = warnings_in(caplog)
    return warning


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
