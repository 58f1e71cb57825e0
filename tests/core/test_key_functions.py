"""A key that a function gives anew for each request, such as an organization's short-lived token."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.hidden import KeyFunction
from kilocode_gateway.local import Reply
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask


class Tokens:
    """Gives another token each time."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"token-number-{self.count}"


def constant() -> str:
    return "token-of-the-module"


def _transport(gateway: LocalGateway, key: Any, **settings: Any) -> Transport:
    return Transport(GatewayConfig.resolve(base_url=gateway.base_url, api_key=key), max_retries=0, **settings)


async def test_it_is_asked_once_for_each_request(gateway: LocalGateway, ask: Ask) -> None:
    tokens = Tokens()
    transport = _transport(gateway, tokens)
    assert tokens.count == 0
    await ask(transport, BODY)
    await ask(transport, BODY)
    assert [request.authorization for request in gateway.requests] == [
        "Bearer token-number-1",
        "Bearer token-number-2",
    ]
    assert tokens.count == 2


async def test_error_that_repeats_the_key_is_cleaned_of_the_one_that_was_sent(gateway: LocalGateway, ask: Ask) -> None:
    tokens = Tokens()
    gateway.script(Reply.raw(401, {"error": {"code": "INVALID_TOKEN", "message": "bad token-number-1"}}))
    with pytest.raises(core.AuthenticationError) as caught:
        await ask(_transport(gateway, tokens), BODY)
    assert "token-number" not in str(caught.value) + repr(caught.value.__dict__)
    assert tokens.count == 1


def test_catalog_asks_it_too(gateway: LocalGateway) -> None:
    Catalog.discover(config=GatewayConfig.resolve(base_url=gateway.base_url, api_key=constant))
    assert gateway.last_request.authorization == "Bearer token-of-the-module"


def test_it_never_shows() -> None:
    config = GatewayConfig.resolve(api_key=constant)
    assert "token" not in repr(config) + str(config.api_key) + repr(config.api_key)
    assert not config.api_key_from_env
    assert config == GatewayConfig.resolve(api_key=constant)
    assert hash(config) == hash(GatewayConfig.resolve(api_key=constant))
    assert config != GatewayConfig.resolve(api_key=Tokens())
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert isinstance(again.api_key, KeyFunction)


async def _later() -> str:
    return "token"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: None, "blank"),
        (lambda: "  ", "what it gave was blank"),
        (lambda: 5, "string, got int"),
        (lambda: "to\nken", "line break"),
        (_later, "string, got coroutine"),
    ],
    ids=["None", "blanks", "a number", "a line break", "an async function"],
)
async def test_what_is_no_key_is_refused_before_anything_is_sent(
    gateway: LocalGateway, ask: Ask, function: Any, said: str
) -> None:
    with pytest.raises(core.ConfigurationError, match=f"function that was given as api_key gave no key.*{said}"):
        await ask(_transport(gateway, function), BODY)
    assert gateway.requests == []


def test_class_is_no_function() -> None:
    with pytest.raises(core.ConfigurationError, match="must be a string, got type"):
        GatewayConfig.resolve(api_key=str)


def _failing() -> str:
    message = "no answer to token-of-the-vault"
    raise OSError(message)


async def test_function_that_fails_is_named_and_its_error_is_the_cause(gateway: LocalGateway, ask: Ask) -> None:
    with pytest.raises(
        core.ConfigurationError, match="function that was given as api_key failed with OSError"
    ) as caught:
        await ask(_transport(gateway, _failing), BODY)
    error = caught.value
    assert isinstance(error.__cause__, OSError)
    assert error.retryable
    assert "token-of-the-vault" not in str(error) + repr(error.__dict__)
    assert gateway.requests == []


async def test_function_that_fails_keeps_no_catalog_from_being_read(gateway: LocalGateway) -> None:
    config = GatewayConfig.resolve(base_url=gateway.base_url, api_key=_failing)
    with pytest.raises(core.ConfigurationError, match="failed with OSError"):
        config.headers()
    assert Catalog.look(config).source == "bundled"
