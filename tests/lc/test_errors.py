"""Errors: of our class, of openai's and of langchain-core's at once, with LangChain's machinery acting on them."""

from __future__ import annotations

import pickle
from typing import Any

import openai
import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler

import kilocode_gateway as ours
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings
from langchain_kilocode.errors import LANGCHAIN_ERRORS

HTML = Reply.raw(502, "<html>Bad Gateway</html>", {"content-type": "text/html"})


def _raw(status: int, body: Any) -> Reply:
    return Reply.raw(status, body)


def _upstream(status: int, message: str, **error: Any) -> Reply:
    return _raw(status, {"error": {"message": message, "code": status, **error}})


TABLE: dict[str, tuple[Reply, type[Exception], type[Exception], type[Exception], bool]] = {
    "no key": (
        _raw(401, {"error": {"code": "PAID_MODEL_AUTH_REQUIRED", "message": "You need to sign in to use this model."}}),
        ours.AuthenticationError,
        openai.AuthenticationError,
        core.ModelAuthenticationError,
        False,
    ),
    "anonymous quota": (
        _raw(401, {"error": {"code": "PROMOTION_MODEL_LIMIT_REACHED", "message": "Used up."}}),
        ours.AnonymousQuotaError,
        openai.RateLimitError,
        core.ModelRateLimitError,
        False,
    ),
    "no credit": (
        _raw(
            402,
            {
                "error": {
                    "title": "Credits Required",
                    "message": "Add credits.",
                    "balance": -1.5,
                    "buyCreditsUrl": "https://app.kilo.ai/profile",
                }
            },
        ),
        ours.InsufficientBalanceError,
        openai.APIStatusError,
        core.ModelPermissionDeniedError,
        False,
    ),
    "unknown model": (
        _raw(
            404,
            {
                "error": "Model not found",
                "message": "The requested model could not be found.",
                "error_type": "model_not_found",
            },
        ),
        ours.ModelNotFoundError,
        openai.NotFoundError,
        core.ModelNotFoundError,
        False,
    ),
    "model not allowed": (
        _raw(404, {"error": "Model not allowed for your team.", "message": "No.", "error_type": "model_not_allowed"}),
        ours.ModelNotAllowedError,
        openai.PermissionDeniedError,
        core.ModelPermissionDeniedError,
        False,
    ),
    "too many requests": (
        _raw(429, {"error": "Rate limit exceeded", "message": "Slow down.", "error_type": "rate_limit_exceeded"}),
        ours.RateLimitError,
        openai.RateLimitError,
        core.ModelRateLimitError,
        True,
    ),
    "context exceeded": (
        _raw(
            400,
            {
                "error": {"message": "This request exceeds the model's context window", "code": 400},
                "error_type": "context_length_exceeded",
            },
        ),
        ours.ContextLengthExceededError,
        openai.BadRequestError,
        core.ContextOverflowError,
        False,
    ),
    "bad request": (
        _upstream(400, "tools must be an array"),
        ours.InvalidRequestError,
        openai.BadRequestError,
        core.ModelInvalidRequestError,
        False,
    ),
    "overloaded": (
        _upstream(503, "Overloaded"),
        ours.UpstreamError,
        openai.InternalServerError,
        core.ModelAPIError,
        True,
    ),
    "empty 500": (Reply.raw(500, b""), ours.UpstreamError, openai.InternalServerError, core.ModelAPIError, True),
    "html 502": (HTML, ours.UpstreamError, openai.InternalServerError, core.ModelAPIError, True),
    "429 in a 200": (
        _raw(200, {"error": {"message": "Slow down", "code": 429}}),
        ours.RateLimitError,
        openai.RateLimitError,
        core.ModelRateLimitError,
        True,
    ),
    "no answer": (
        Reply.raw(200, "<html>Login</html>", {"content-type": "text/html"}),
        ours.MalformedReplyError,
        openai.APIError,
        core.ModelAPIError,
        True,
    ),
}


@pytest.mark.parametrize("case", TABLE)
async def test_error_is_what_each_user_catches(ask: Any, model: Any, gateway: Any, case: str) -> None:
    reply, own, theirs, frameworks, retryable = TABLE[case]
    gateway.script(reply)
    with pytest.raises(own) as caught:
        await ask(model, "Hello")
    error: Any = caught.value
    assert isinstance(error, theirs)
    assert isinstance(error, frameworks)
    assert (error.retryable, error.is_retryable) == (retryable, retryable)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.is_retryable) == (type(error), str(error), retryable)
    assert gateway.api_key not in repr(error.__dict__) + str(error)
    assert error.__cause__ is None
    assert error.request.url


async def test_stream_that_breaks_off(ask_streamed: Any, model: Any, gateway: Any) -> None:
    gateway.script(
        Reply.chunks(
            [{"id": "gen-1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Half an"}}]}], done=True
        )
    )
    with pytest.raises(ours.StreamInterruptedError) as caught:
        await ask_streamed(model, "Hello")
    assert caught.value.text == "Half an"
    assert isinstance(caught.value, (openai.APIConnectionError, core.ModelConnectionError))


async def test_error_in_the_middle_of_a_stream(ask_streamed: Any, model: Any, gateway: Any) -> None:
    begin = {"id": "gen-1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Half an"}}]}
    gateway.script(
        Reply.chunks([begin, {"error": {"code": 503, "message": "gone", "type": "upstream_disconnect"}, "choices": []}])
    )
    with pytest.raises(ours.UpstreamError) as caught:
        await ask_streamed(model, "Hello")
    assert caught.value.text == "Half an"
    assert isinstance(caught.value, core.ModelAPIError)


async def test_unreachable(ask: Any) -> None:
    with pytest.raises(ours.ConnectionFailedError) as caught:
        await ask(ChatKiloCode(model="a/b", base_url="http://127.0.0.1:9/", api_key="k", max_retries=0), "Hello")
    assert isinstance(caught.value, openai.APIConnectionError)
    assert isinstance(caught.value, core.ModelConnectionError)


async def test_retries(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(TABLE["overloaded"][0], TABLE["overloaded"][0])
    assert (await ask(make_model(max_retries=2), "Hello")).text
    assert len(gateway.requests) == 3


def test_table_holds_every_class() -> None:
    assert set(LANGCHAIN_ERRORS) == set(ours.errors.ERRORS)
    plain = {ours.ConfigurationError, ours.UnknownSettingError, ours.BudgetExceededError}
    for own, raised in LANGCHAIN_ERRORS.items():
        assert issubclass(raised, own)
        assert issubclass(raised, core.ModelError)
        if own not in plain:
            assert issubclass(raised, openai.OpenAIError)


def test_embeddings_raise_the_same(gateway: Any) -> None:
    gateway.script(TABLE["no credit"][0])
    embeddings = KiloCodeEmbeddings(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    with pytest.raises(ours.InsufficientBalanceError) as caught:
        embeddings.embed_query("Hello")
    assert isinstance(caught.value, core.ModelPermissionDeniedError)
    assert caught.value.details["balance"] == -1.5


class Traced(BaseCallbackHandler):
    """Keeps what a trace says of a call that failed."""

    told: dict[str, Any]

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        generations = response.generations if response is not None else []
        self.told = dict(generations[0][0].message.response_metadata) if generations and generations[0] else {}


async def test_trace_tells_no_status_where_none_came(ask: Any, make_model: Any, gateway: Any) -> None:
    traced = Traced()
    nowhere = make_model(base_url="http://127.0.0.1:9/")
    with pytest.raises(ours.ConnectionFailedError):
        await ask(nowhere, "Hello", config={"callbacks": [traced]})
    assert "status_code" not in traced.told
    gateway.script(TABLE["no credit"][0])
    with pytest.raises(ours.InsufficientBalanceError):
        await ask(make_model(), "Hello", config={"callbacks": [traced]})
    assert traced.told["status_code"] == 402
