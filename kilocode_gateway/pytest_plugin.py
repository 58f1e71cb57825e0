"""A pytest fixture for your own tests: an app that uses the gateway runs against a local one, unchanged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilocode_gateway.local import LocalGateway

_PREFIXES = ("KILOCODE_", "KILO_")


@pytest.fixture
def kilo_gateway(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalGateway]:
    """Run a local gateway for one test, and point the environment at it.

    KILOCODE_BASE_URL, KILOCODE_API_KEY and KILOCODE_CACHE_DIR are set, every other KILO_ and KILOCODE_ variable is
    taken away. Script its replies with `kilo_gateway.script(...)`, read what came from `kilo_gateway.requests`.
    """
    from kilocode_gateway.catalog import Catalog
    from kilocode_gateway.local import LocalGateway

    for name in [name for name in os.environ if name.upper().startswith(_PREFIXES)]:
        monkeypatch.delenv(name)
    with LocalGateway() as gateway:
        monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
        monkeypatch.setenv("KILOCODE_API_KEY", gateway.api_key)
        monkeypatch.setenv("KILOCODE_CACHE_DIR", str(tmp_path_factory.mktemp("kilocode")))
        # As if an earlier program had fetched the list of models: a test then meets one request for each call.
        Catalog.discover(refresh=True)
        gateway.clear()
        yield gateway
