"""What LangChain's caches of answers tell apart, and what they never hold."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache

from kilocode_gateway.local import Reply

SECRET = "headers-may-hold-one"
OTHERS: dict[str, dict[str, Any]] = {
    "other headers": {"default_headers": {"X-Tenant": SECRET}},
    "another key": {"api_key": "another-" + SECRET},
    "another organization": {"organization_id": "org-2"},
}


WHOLE = pytest.mark.parametrize("ask", ["invoke", "ainvoke"], indirect=True)


@WHOLE
@pytest.mark.parametrize("what", OTHERS)
async def test_who_asks_otherwise_gets_an_answer_of_their_own(
    ask: Any, make_model: Any, gateway: Any, what: str
) -> None:
    cache = InMemoryCache()
    asked: dict[str, Any] = {"cache": cache}
    gateway.script(Reply.text("One."), Reply.text("Two."))
    assert (await ask(make_model(**asked), "Hello")).text == "One."
    assert (await ask(make_model(**{**asked, **OTHERS[what]}), "Hello")).text == "Two."
    assert (await ask(make_model(**asked), "Hello")).text == "One."
    assert SECRET not in repr(cache._cache)
    assert gateway.api_key not in repr(cache._cache)


@pytest.mark.parametrize("what", OTHERS)
async def test_who_fills_otherwise_gets_an_answer_of_their_own(make_fim: Any, gateway: Any, what: str) -> None:
    cache = InMemoryCache()
    for settings in ({}, OTHERS[what], {}):
        fim = make_fim(cache=cache, **settings)
        fim.invoke("x = ")
        assert SECRET not in repr(fim.asdict())
    assert len(gateway.requests) == 2
    assert SECRET not in repr(cache._cache)
    assert gateway.api_key not in repr(cache._cache)


@WHOLE
async def test_tokens_of_one_key_function_share_answers(ask: Any, make_model: Any, gateway: Any) -> None:
    """They change every few minutes, and the account behind them stays."""
    tokens = iter([gateway.api_key, gateway.api_key])
    model = make_model(api_key=lambda: next(tokens), cache=InMemoryCache())
    await ask(model, "Hello")
    await ask(model, "Hello")
    assert len(gateway.chat_requests) == 1


@WHOLE
async def test_cache_keeps_the_answer_as_it_came(ask: Any, make_model: Any, gateway: Any) -> None:
    """What a cache in memory hands out is what it keeps: it must not learn there that an answer cost nothing."""
    gateway.script(Reply.text("One.", usage={"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.5}))
    cache = InMemoryCache()
    model = make_model(cache=cache)
    first = await ask(model, "Hello")
    ((kept,),) = cache._cache.values()
    before = kept.model_dump()
    again = await ask(model, "Hello")
    assert (first.response_metadata["cost"], again.response_metadata["cost"]) == (0.5, 0.0)
    assert kept.model_dump() == before
    again.response_metadata["mine"] = True
    assert "mine" not in (await ask(model, "Hello")).response_metadata
