"""Fixtures of the core's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.catalogs import MODELS, Door
from tests.core.helpers import STREAMED, WAYS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilocode_gateway.local import LocalGateway
    from kilocode_gateway.wire import Completion

    Ask = Callable[..., Awaitable[Completion]]


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask in each of the four ways: whole and streamed, sync and async."""
    return WAYS[request.param]


@pytest.fixture(params=STREAMED)
def ask_streamed(request: pytest.FixtureRequest) -> Ask:
    return STREAMED[request.param]


@pytest.fixture
def streamed(request: pytest.FixtureRequest) -> bool:
    """Whether this test's `ask` asks for a stream."""
    return request.node.callspec.params["ask"] in STREAMED


@pytest.fixture
def acme(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    """Give a gateway with four models."""
    return make_gateway(models=MODELS)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def held(make_gateway: Callable[..., LocalGateway], door: Door) -> LocalGateway:
    """Give a gateway with four models, whose door is shut."""
    return make_gateway(models=MODELS, answer=door)


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget all that a process remembers, as a new one would."""
    from kilocode_gateway import catalog

    return lambda: monkeypatch.setattr(catalog._memory, "_slots", {})


@pytest.fixture
def here(acme: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    """Give that gateway as the one that the environment names."""
    monkeypatch.setenv("KILOCODE_BASE_URL", acme.base_url)
    return acme
