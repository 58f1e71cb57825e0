"""Every form in which the gateway refuses: what kind of error each becomes, and what it says."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import openai
import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.hidden import Secret
from kilocode_gateway.local import Reply
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from tests.core.helpers import BODY, KEY, MODEL, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

HALF = "Half of an answer is here, and then"
SERVE = "`python -m kilocode_gateway serve`"
DOCTOR = "python -m kilocode_gateway doctor"


class Expected(NamedTuple):
    """What a form becomes."""

    kind: type[core.KiloCodeError]
    words: tuple[str, ...]
    """What the text must say: what happened, why, and what to do."""
    retryable: bool = False
    code: str | None = None
    status: int | None = None
    """Where it is not the answer's own: an error inside a 200."""
    details: dict[str, Any] | None = None
    provider: str | None = None
    retry_after: float | None = None


def _invalid(*words: str, code: str | None = None, **more: Any) -> Expected:
    return Expected(core.InvalidRequestError, words, code=code, **more)


def _upstream(*words: str, retryable: bool = True, **more: Any) -> Expected:
    return Expected(core.UpstreamError, words, retryable=retryable, **more)


def _credit(balance: float, title: str) -> Expected:
    url = "https://app.kilo.ai/profile"
    return Expected(
        core.InsufficientBalanceError,
        ("not enough credit", f"balance is {balance} USD", f"Add credits at {url}"),
        code="usage_limit_exceeded",
        details={"balance": balance, "buy_credits_url": url, "title": title},
    )


_SIGN_IN = Expected(
    core.AuthenticationError,
    ("sign in", "bad or expired key", "blocked user", "organization", DOCTOR),
    code="paid_model_auth_required",
)
_COLLECTION = ("Data collection is required", "provider={'data_collection': 'allow'}")
_TOO_LONG = ("too long", "maximum context length", "larger context window")
_UNKNOWN = ("could not be found", "python -m kilocode_gateway models")
_RATE = ("too many requests", "Free model usage limit reached", "Wait")
_REDIRECT = ("https://elsewhere.invalid/api/gateway/chat/completions", "not followed", "KILOCODE_BASE_URL")
_GONE = {"status": 502, "provider": "LocalProvider"}

FORMS: dict[str, Expected] = {
    "invalid_json_400": _invalid("rejected", "Could not parse request body"),
    "malformed_json": _invalid("Malformed JSON", code="invalid_request"),
    "invalid_path": _invalid("only accepts the path", code="invalid_path"),
    "invalid_request": _invalid("expected an array", code="invalid_request"),
    "missing_client_ip": _invalid("client IP"),
    "data_collection_required": Expected(
        core.DataCollectionRequiredError, _COLLECTION, code="data_collection_required"
    ),
    "data_collection_required_feb": Expected(core.DataCollectionRequiredError, _COLLECTION),
    "unsupported_field": _invalid("providerOptions", code="unsupported_field"),
    "api_kind_not_supported": _invalid("chat completions", code="api_kind_not_supported"),
    "unsupported_fim_model": Expected(
        core.ModelNotFoundError,
        ("not a supported FIM model", "'mistralai/codestral-2508'", "'inception/mercury-edit-2'"),
        code="unsupported_fim_model",
        details={"reason": "no_fim"},
    ),
    "unsupported_fim_model_feb": Expected(
        core.ModelNotFoundError, ("not a mistralai model", "'mistralai/codestral-2508'"), details={"reason": "no_fim"}
    ),
    "byok_key_required": _invalid("requires a BYOK API key", "dashboard", code="byok_key_required"),
    "byok_400": _invalid("[BYOK]", "provider key is not valid", code="byok_error"),
    "unknown_model_400": Expected(
        core.ModelNotFoundError, ("not a valid model ID", "models` lists"), details={"reason": "unknown"}
    ),
    "provider_returned_error_400": _invalid("LocalProvider", "tool_use ids must be unique", provider="LocalProvider"),
    "dimensions": _invalid("at most 1536", code="invalid_request_error", details={"param": "dimensions"}),
    "context_length_exceeded": Expected(core.ContextLengthExceededError, _TOO_LONG, code="context_length_exceeded"),
    "context_length_upstream": Expected(core.ContextLengthExceededError, _TOO_LONG),
    "context_length_feb_500": Expected(core.ContextLengthExceededError, _TOO_LONG),
    "paid_model_auth_required": _SIGN_IN,
    "paid_model_auth_required_feb": _SIGN_IN,
    "invalid_token": Expected(
        core.AuthenticationError, ("wrong, expired or revoked", "app.kilo.ai"), code="authentication_required"
    ),
    "promotion_limit": Expected(
        core.AnonymousQuotaError, ("free quota", "without a key", "KILOCODE_API_KEY"), code="promotion_limit_reached"
    ),
    "success_false_401": Expected(core.AuthenticationError, ("Invalid token", "wrong, expired or revoked")),
    "upstream_401": Expected(core.AuthenticationError, ("No auth credentials found", DOCTOR)),
    "credit_402_never_paid": _credit(0, "Paid Model - Credits Required"),
    "credit_402_paid_before": _credit(-0.5, "Low Credit Warning!"),
    "byok_402": Expected(core.InsufficientBalanceError, ("[BYOK]", "your own provider account"), code="byok_error"),
    "insufficient_credits": Expected(
        core.InsufficientBalanceError, ("Insufficient credits", "app.kilo.ai/profile"), code="insufficient_credits"
    ),
    "account_restricted": Expected(core.PermissionRefusedError, ("account is restricted",), code="account_restricted"),
    "organization_denied": Expected(
        core.OrganizationError, ("not a member of this organization", "KILOCODE_ORGANIZATION_ID")
    ),
    "provider_not_allowed": Expected(
        core.ModelNotAllowedError, ("No allowed provider", "loosen `provider`"), code="provider_not_allowed"
    ),
    "byok_403": Expected(core.PermissionRefusedError, ("[BYOK]",), code="byok_error"),
    "upstream_403_moderation": Expected(
        core.PermissionRefusedError, ("LocalProvider", "flagged by moderation"), provider="LocalProvider"
    ),
    "model_not_found": Expected(
        core.ModelNotFoundError, _UNKNOWN, code="model_not_found", details={"reason": "unknown"}
    ),
    "model_not_found_feb": Expected(core.ModelNotFoundError, _UNKNOWN, details={"reason": "unknown"}),
    "model_not_allowed": Expected(
        core.ModelNotAllowedError, ("not allowed for your team", "administrator"), code="model_not_allowed"
    ),
    "model_not_allowed_feb": Expected(core.ModelNotAllowedError, ("not allowed for your team", "administrator")),
    "alpha_ended": Expected(
        core.ModelNotFoundError, ("alpha period", "Choose another model"), details={"reason": "ended"}
    ),
    "unavailable_model": Expected(core.ModelNotFoundError, ("unavailable",), code="unavailable_model"),
    "no_endpoints_404": Expected(
        core.ModelNotFoundError, ("support tool use", "loosen `provider`"), details={"reason": "no_endpoint"}
    ),
    "empty_405": _invalid("without a word", "Check the base URL"),
    "408": Expected(core.TimeoutExceededError, ("ran out of time", "timed out"), retryable=True),
    "no_organization_models_409": Expected(core.OrganizationError, ("No models are available", "organization_id")),
    "413": _invalid("too large"),
    "413_html": _invalid("413 Payload Too Large."),
    "upgrade_required_426": _invalid("update your editor", code="upgrade_required"),
    "rate_limit_free": Expected(core.RateLimitError, _RATE, retryable=True, code="rate_limit_exceeded"),
    "rate_limit_feb": Expected(core.RateLimitError, _RATE, retryable=True),
    "rate_limit_with_retry_after": Expected(
        core.RateLimitError, ("Too many requests",), retryable=True, code="rate_limit_exceeded", retry_after=0.02
    ),
    "byok_429": Expected(core.RateLimitError, ("your own provider key",), retryable=True, code="byok_error"),
    "provider_returned_error_429": Expected(
        core.RateLimitError,
        ("The provider LocalProvider", "temporarily rate-limited upstream"),
        retryable=True,
        provider="LocalProvider",
    ),
    "empty_500": _upstream("failed", "without a word of explanation"),
    "upstream_500": _upstream("Internal Server Error"),
    "failed_to_fetch_models": _upstream("could not be read"),
    "upstream_502": _upstream("Provider returned error"),
    "html_502": _upstream("502 Bad Gateway."),
    "service_unavailable_503": _upstream("temporarily unavailable", code="temporarily_unavailable"),
    "service_unavailable_feb": _upstream("temporarily unavailable"),
    "top_up_in_progress": _upstream("being topped up", code="top_up_in_progress", retry_after=5.0),
    "no_free_models": _upstream("No free models", retryable=False, code="no_free_models_available"),
    "upstream_disconnect": _upstream("closed the connection", code="upstream_disconnect"),
    "no_instances_503": _upstream("No instances available"),
    "timeout_504": _upstream("took too long"),
    "529": _upstream("Overloaded"),
    "stealth_429": Expected(core.RateLimitError, ("Stealth model unable",), retryable=True),
    "error_in_200": Expected(core.RateLimitError, ("Rate limited",), retryable=True, status=429),
    "error_in_200_as_json_for_stream": _upstream("upstream is gone", **_GONE),
    "credit_error_in_200": Expected(
        core.InsufficientBalanceError, ("Insufficient credits", "app.kilo.ai/profile"), status=402
    ),
    "html_200": Expected(core.MalformedReplyError, ("Please sign in", "text/html", "base URL"), retryable=True),
    "bad_json_200": Expected(core.MalformedReplyError, ("not a JSON object", "41 bytes"), retryable=True),
    "no_choices_200": Expected(core.MalformedReplyError, ("has no choices", "id, object, choices"), retryable=True),
    "stream_error_first": _upstream("LocalProvider", "upstream is gone", **_GONE),
    "stream_error_after": _upstream("LocalProvider", "upstream is gone", **_GONE),
    "stream_error_mid": Expected(core.RateLimitError, ("Rate limited",), retryable=True, status=429),
    "stream_error_mid_with_choices": _upstream("disconnected unexpectedly", code="provider_unavailable", **_GONE),
    "redirect_301": Expected(core.RedirectRefusedError, _REDIRECT),
    "redirect_302": Expected(core.RedirectRefusedError, _REDIRECT),
    "redirect_307": Expected(core.RedirectRefusedError, _REDIRECT),
    "redirect_308": Expected(core.RedirectRefusedError, _REDIRECT),
}
"""The same in every way of asking."""

_CUT = Expected(core.StreamInterruptedError, ("without a finish reason", "not complete"), retryable=True)
_NOT_ANSWERED = Expected(core.MalformedReplyError, ("not a JSON object", "0 bytes"), retryable=True)
STREAMS: dict[str, tuple[Expected | None, Expected | None]] = {
    "empty_200": (_NOT_ANSWERED, _CUT),
    "stream_error_mid_gateway": (
        _upstream("disconnected unexpectedly", code="provider_unavailable", **_GONE),
        _upstream("closed the connection", code="upstream_disconnect", status=503),
    ),
    "stream_without_done": (None, None),
    "stream_without_finish": (None, _CUT),
    "stream_done_without_finish": (
        None,
        Expected(core.StreamInterruptedError, ("although it says that it is done",), retryable=True),
    ),
    "stream_empty": (Expected(core.MalformedReplyError, ("no choices",), retryable=True), _CUT),
}
"""Where it matters whether a stream was asked for: whole, streamed; None where an answer comes all the same."""

OPENAI: dict[type[core.KiloCodeError], type[openai.OpenAIError]] = {
    core.AuthenticationError: openai.AuthenticationError,
    core.InsufficientBalanceError: openai.APIStatusError,
    core.AnonymousQuotaError: openai.RateLimitError,
    core.RateLimitError: openai.RateLimitError,
    core.ModelNotFoundError: openai.NotFoundError,
    core.PermissionRefusedError: openai.PermissionDeniedError,
    core.ModelNotAllowedError: openai.PermissionDeniedError,
    core.OrganizationError: openai.PermissionDeniedError,
    core.ContextLengthExceededError: openai.BadRequestError,
    core.InvalidRequestError: openai.BadRequestError,
    core.DataCollectionRequiredError: openai.BadRequestError,
    core.UpstreamError: openai.InternalServerError,
    core.TimeoutExceededError: openai.APITimeoutError,
    core.ConnectionFailedError: openai.APIConnectionError,
    core.RedirectRefusedError: openai.APIConnectionError,
    core.StreamInterruptedError: openai.APIConnectionError,
    core.MalformedReplyError: openai.APIResponseValidationError,
}


def test_every_form_is_in_the_tables() -> None:
    assert set(FORMS) | set(STREAMS) == set(Reply.ERRORS)
    assert not set(FORMS) & set(STREAMS)


@pytest.fixture(params=["core", "openai"])
def table(request: pytest.FixtureRequest) -> core.ErrorTable:
    return OPENAI_ERRORS if request.param == "openai" else core.ERRORS


@pytest.mark.parametrize("name", Reply.ERRORS)
async def test_what_a_form_becomes(
    gateway: LocalGateway, ask: Ask, streamed: bool, name: str, table: core.ErrorTable
) -> None:
    expected = FORMS[name] if name in FORMS else STREAMS[name][streamed]
    gateway.script(Reply.error(name))
    transport = transport_to(gateway, errors=table)
    if expected is None:
        assert (await ask(transport, BODY)).text == HALF
        return
    with pytest.raises(core.KiloCodeError) as caught:
        await ask(transport, BODY)
    error = caught.value
    assert type(error) is table[expected.kind]
    if table is OPENAI_ERRORS:
        assert isinstance(error, OPENAI[expected.kind])
    for words in expected.words:
        assert words in str(error)
    if not isinstance(error, core.ConnectionFailedError | core.MalformedReplyError) or name == "408":
        assert MODEL in str(error)
        assert f"HTTP {error.status}" in str(error)
    assert error.status == (expected.status or Reply.ERRORS[name])
    assert error.retryable is expected.retryable
    assert error.code == expected.code
    assert error.provider == expected.provider
    assert error.retry_after == expected.retry_after
    assert {key: error.details.get(key) for key in expected.details or {}} == (expected.details or {})
    assert error.model == MODEL
    assert error.url == f"{gateway.base_url}chat/completions"
    half = streamed and name.startswith("stream_") and name not in ("stream_error_first", "stream_empty")
    assert error.text == (HALF if half else "")
    assert len(gateway.requests) == 1
    assert KEY not in repr(vars(error))


async def test_without_a_key_the_text_says_where_to_get_one(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("paid_model_auth_required"))
    with pytest.raises(core.AuthenticationError, match=rf"No API key was sent. Set KILOCODE_API_KEY.*':free'.*{SERVE}"):
        await ask(transport_to(gateway, api_key=None), BODY)


async def test_that_of_an_embedding_model_names_no_free_one(gateway: LocalGateway) -> None:
    gateway.script(Reply.error("paid_model_auth_required"))
    with pytest.raises(
        core.AuthenticationError, match=rf"No API key was sent. Set KILOCODE_API_KEY.*{SERVE}"
    ) as caught:
        await transport_to(gateway, api_key=None).aembed(["Hello"], model="openai/text-embedding-3-small")
    assert "free" not in str(caught.value)


async def test_a_misspelt_model_gets_its_nearest_names(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("model_not_found"))
    with pytest.raises(core.ModelNotFoundError, match="Did you mean 'kilo-auto/balanced'") as caught:
        await ask(transport_to(gateway), {**BODY, "model": "kilo-auto/balancd"})
    assert "kilo-auto/balanced" in caught.value.details["nearest"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html><body>Not here</body></html>"),
        (404, ""),
        (405, "Method Not Allowed"),
    ],
)
async def test_a_page_instead_of_an_answer_means_a_wrong_address(
    gateway: LocalGateway, ask: Ask, status: int, body: str
) -> None:
    gateway.script(Reply.raw(status, body))
    with pytest.raises(core.InvalidRequestError, match="Check the base URL"):
        await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("name", ["invalid_request", "unsupported_field", "api_kind_not_supported"])
async def test_request_that_is_wrong_is_so_inside_a_200_too(gateway: LocalGateway, ask: Ask, name: str) -> None:
    form = Reply.error_form(name)
    gateway.script(Reply.raw(200, form.body))
    with pytest.raises(core.InvalidRequestError) as caught:
        await ask(transport_to(gateway), BODY)
    assert not caught.value.retryable


async def test_only_safe_headers_are_kept(gateway: LocalGateway, ask: Ask) -> None:
    headers = {"set-cookie": "session=abc", "x-secret": "1", "request-id": "r1", "retry-after": "7", "date": "today"}
    gateway.script(Reply.raw(429, {"error": "slow down"}, headers))
    with pytest.raises(core.RateLimitError) as caught:
        await ask(transport_to(gateway), BODY)
    assert caught.value.headers == {
        "content-type": "application/json",
        "date": "today",
        "request-id": "r1",
        "retry-after": "7",
    }


ODD_BODIES: list[Any] = [
    "null",
    "[]",
    '"text"',
    "12",
    "{}",
    '{"error": null}',
    '{"error": []}',
    '{"error": {}}',
    '{"error": {"message": {"a": 1}, "code": [1], "metadata": "x"}}',
    '{"error": {"code": "\u00b2", "message": 5}}',
    '{"error": {"code": ' + "9" * 400 + "}}",
    '{"error": {"metadata": {"raw": ' + "[" * 900 + "]" * 900 + "}}}",
    '{"error": {"metadata": {"raw": "' + "[" * 100_000 + '"}}}',
    "[" * 100_000,
    "{" * 100_000,
    b"\xff\xfe\x00",
    '{"detail": [{"loc": ["body"], "msg": "field required"}]}',
    "x" * 2_000_000,
]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 418, 422, 429, 451, 499, 500, 501, 503, 504, 599])
def test_odd_bodies_with_any_status(status: int) -> None:
    from kilocode_gateway.error_bodies import error_from_answer
    from kilocode_gateway.error_texts import Context

    for body in ODD_BODIES:
        data = body if isinstance(body, bytes) else body.encode()
        error = error_from_answer(status, {}, data, Context("http://127.0.0.1/", model="a/b"))
        assert isinstance(error, core.KiloCodeError)
        assert error.status == status
        assert 20 < len(str(error)) < 1200
        assert error.retryable is (status in (408, 429) or status >= 500)


@pytest.mark.parametrize("key", ["", KEY])
def test_a_body_that_is_nested_deeply_is_an_error_that_can_be_pickled_and_shows_no_key(key: str) -> None:
    from kilocode_gateway.error_bodies import error_from_answer
    from kilocode_gateway.error_texts import Context

    for depth in (40, 480, 900):
        body = b'{"message":"No.","error":' + b"[" * depth + KEY.encode().join([b'"', b'"']) + b"]" * depth + b"}"
        error = error_from_answer(400, {}, body, Context(secrets=(Secret(key),)))
        assert error.body["message"] == "No."  # type: ignore[index]
        assert repr(pickle.loads(pickle.dumps(error)).facts()) == repr(error.facts())
        assert not key or key not in repr(error.facts())


@pytest.mark.parametrize("payload", [{"error": True}, {"error": {"code": "x" * 9}}, {"error": "text"}, {"error": [1]}])
def test_odd_errors_inside_a_200(payload: dict[str, Any]) -> None:
    from kilocode_gateway.error_bodies import error_from_payload
    from kilocode_gateway.error_texts import Context

    assert isinstance(error_from_payload(payload, {}, Context()), core.KiloCodeError)


def test_what_a_validating_server_says_is_dug_out() -> None:
    from kilocode_gateway.error_bodies import error_from_answer
    from kilocode_gateway.error_texts import Context

    error = error_from_answer(422, {}, b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', Context())
    assert "field required" in str(error)
