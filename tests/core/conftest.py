"""Fixtures of the core's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.catalogs import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway


@pytest.fixture
def acme(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    """Give a gateway with four models."""
    return make_gateway(models=MODELS)


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget all that a process remembers, as a new one would."""
    from kilocode_gateway import catalog

    return lambda: monkeypatch.setattr(catalog, "_memory", catalog._Memory())
