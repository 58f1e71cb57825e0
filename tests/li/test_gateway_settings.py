"""What only this gateway offers, as settings: fallback models, time limits of a whole call, mode and task."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import ConfigurationError, RateLimitError, TimeoutExceededError
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode, KiloCodeEmbedding
from tests.li.conftest import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from tests.li.conftest import EntryPoint

SECOND = "google/gemini-2.5-flash"
LIMIT = 0.25
SOON = 30.0
COMMENTS = [": KILO PROCESSING\n\n"] * 3000


@pytest.fixture(params=["constructor", "additional_kwargs", "call"])
def give(request: pytest.FixtureRequest, make_llm: Callable[..., KiloCode]) -> Callable[..., Any]:
    """Give settings in each of the three places."""

    async def ask_with(ask: EntryPoint, **settings: Any) -> list[Any]:
        if request.param == "constructor":
            return await ask(make_llm(max_retries=0, **settings))
        if request.param == "additional_kwargs":
            return await ask(make_llm(max_retries=0, additional_kwargs=settings))
        return await ask(make_llm(max_retries=0), **settings)

    return ask_with


async def test_next_model_answers_and_the_response_tells_it(ask: EntryPoint, give: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.error("529"), Reply.text("ok"))
    last = (await give(ask, fallback_models=[SECOND]))[-1]
    assert ask.text(last) == "ok"
    assert [request.json["model"] for request in gateway.chat_requests] == [MODEL, SECOND]
    facts = last.additional_kwargs
    assert (facts["requested_model"], facts["fallback_model"], facts["model"]) == (MODEL, SECOND, SECOND)
    assert [(one["model"], one["error"]) for one in facts["failed_models"]] == [(MODEL, "UpstreamError")]


async def test_when_all_fail_the_error_tells_it(ask: EntryPoint, give: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.error("529"), Reply.error("rate_limit_free"))
    with pytest.raises(RateLimitError, match="others had failed before"):
        await give(ask, fallback_models=[SECOND])


async def test_total_timeout(ask: EntryPoint, give: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("word " * 2000, stall_after=900, stall=60.0))
    begin = time.monotonic()
    with pytest.raises(TimeoutExceededError, match="total_timeout"):
        await give(ask, total_timeout=LIMIT)
    assert time.monotonic() - begin < SOON


async def test_first_token_timeout_holds_under_keep_alive_comments(
    stream: EntryPoint, give: Any, gateway: LocalGateway
) -> None:
    gateway.script(Reply.chunks(COMMENTS, chunk_delay=0.02))
    begin = time.monotonic()
    with pytest.raises(TimeoutExceededError, match="first_token_timeout"):
        await give(stream, first_token_timeout=LIMIT)
    assert time.monotonic() - begin < SOON


async def test_mode_and_task(ask: EntryPoint, give: Any, gateway: LocalGateway) -> None:
    await give(ask, mode="plan", task_id="conversation-7")
    headers = gateway.last_request.headers
    assert (headers["x-kilocode-mode"], headers["x-kilocode-taskid"]) == ("plan", "conversation-7")
    assert not {"mode", "task_id"} & set(gateway.last_request.json)


@pytest.mark.parametrize("wrong", [{"fallback_models": SECOND}, {"total_timeout": -1}, {"mode": "a\nb"}])
def test_what_cannot_be_used_is_refused_at_once(wrong: dict[str, Any]) -> None:
    for settings in (wrong, {"additional_kwargs": wrong}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            KiloCode(**settings)  # type: ignore[arg-type]


def test_copies_carry_them(make_llm: Callable[..., KiloCode]) -> None:
    settings = {"fallback_models": [SECOND], "mode": "plan", "task_id": "t", "total_timeout": 5.0}
    llm = make_llm(**settings)
    again = KiloCode.from_dict(llm.to_dict())
    assert {name: getattr(again, name) for name in settings} == settings


async def test_key_from_a_function_is_asked_for_each_request(
    ask: EntryPoint, make_llm: Callable[..., KiloCode], gateway: LocalGateway
) -> None:
    given: list[str] = []

    def token() -> str:
        given.append(f"token-number-{len(given) + 1}")
        return given[-1]

    llm = make_llm(api_key=token)
    for one in (llm, llm.model_copy(), copy.deepcopy(llm)):
        await ask(one)
    assert [request.authorization for request in gateway.chat_requests] == [f"Bearer {key}" for key in given]
    assert len(given) == 3
    assert "token-number" not in repr(llm) + str(llm.to_dict())


async def test_embedding_takes_a_key_from_a_function(gateway: LocalGateway) -> None:
    embedding = KiloCodeEmbedding(api_base=gateway.base_url, api_key=lambda: "token-of-now")
    await embedding.aget_text_embedding("a")
    assert gateway.last_request.authorization == "Bearer token-of-now"
