from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from langchain_kilocode import ChatKiloCode, KiloCodeFIM
from tests.lc.fim_ways import STREAMED, WHOLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from langchain_core.messages import AIMessage

    from kilocode_gateway.local import LocalGateway

MODEL = "anthropic/claude-sonnet-4.6"


@pytest.fixture
def make_model(gateway: LocalGateway) -> Callable[..., ChatKiloCode]:
    """Make a model on the test's own gateway."""

    def make(**settings: Any) -> ChatKiloCode:
        return ChatKiloCode(
            **{"model": MODEL, "base_url": gateway.base_url, "api_key": gateway.api_key, "max_retries": 0, **settings}
        )

    return make


@pytest.fixture
def model(make_model: Callable[..., ChatKiloCode], request: pytest.FixtureRequest) -> ChatKiloCode:
    """Give a model; parametrized indirectly, one with that `output_version`."""
    return make_model(output_version=getattr(request, "param", None))


async def _astreamed(model: Any, messages: Any, /, **settings: Any) -> AIMessage:
    whole = None
    async for chunk in model.astream(messages, **settings):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


async def _streamed(model: Any, messages: Any, /, **settings: Any) -> AIMessage:
    chunks = list(model.stream(messages, **settings))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


async def _invoked(model: Any, messages: Any, /, **settings: Any) -> AIMessage:
    return model.invoke(messages, **settings)


async def _ainvoked(model: Any, messages: Any, /, **settings: Any) -> AIMessage:
    return await model.ainvoke(messages, **settings)


WAYS = {"invoke": _invoked, "ainvoke": _ainvoked, "stream": _streamed, "astream": _astreamed}


@pytest.fixture(params=list(WAYS))
def ask(request: pytest.FixtureRequest) -> Callable[..., Awaitable[AIMessage]]:
    """Ask in each of the four ways: whole and streamed, sync and async."""
    return WAYS[request.param]


@pytest.fixture(params=["stream", "astream"])
def ask_streamed(request: pytest.FixtureRequest) -> Callable[..., Awaitable[AIMessage]]:
    return WAYS[request.param]


@pytest.fixture
def make_fim(gateway: LocalGateway) -> Callable[..., KiloCodeFIM]:
    """Make a model that fills gaps in code on the test's own gateway."""

    def make(**settings: Any) -> KiloCodeFIM:
        return KiloCodeFIM(**{"base_url": gateway.base_url, "api_key": gateway.api_key, "max_retries": 0, **settings})

    return make


@pytest.fixture
def fim(make_fim: Callable[..., KiloCodeFIM]) -> KiloCodeFIM:
    return make_fim()


@pytest.fixture(params=[*WHOLE, *STREAMED], ids=lambda way: way.__name__)
def fill(request: pytest.FixtureRequest) -> Callable[..., Awaitable[str]]:
    """Fill a gap in each of the six ways: alone, in a batch and streamed, sync and async."""
    return request.param


@pytest.fixture(params=STREAMED, ids=lambda way: way.__name__)
def fill_streamed(request: pytest.FixtureRequest) -> Callable[..., Awaitable[str]]:
    return request.param


@pytest.fixture
def provider_tables() -> Iterator[tuple[dict[str, Any], ...]]:
    """Give LangChain's two tables of providers, and put back what was in them."""
    bases = ("langchain.chat_models.base", "langchain.embeddings.base")
    found = tuple(importlib.import_module(base)._BUILTIN_PROVIDERS for base in bases)
    kept = [dict(table) for table in found]
    yield found
    for table, before in zip(found, kept, strict=True):
        table.clear()
        table.update(before)
    forget_providers()


def forget_providers() -> None:
    """Make LangChain forget the classes that it found for providers."""
    importlib.import_module("langchain.chat_models.base")._get_chat_model_creator.cache_clear()
    importlib.import_module("langchain.embeddings.base")._get_embeddings_class_creator.cache_clear()
