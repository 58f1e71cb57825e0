"""Every error that chat can get from the gateway, in each way of asking: its type, whether to retry, and its words."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from langchain_core.exceptions import ModelError

import kilocode_gateway as ours
from kilocode_gateway.local import Reply
from langchain_kilocode.errors import LANGCHAIN_ERRORS

HALF = {"id": "gen-1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Half an"}}]}
IN_THE_MIDDLE = ("upstream", "code", "credit")
"""The body forms that also come as an event of a stream that answered 200."""


class Row(NamedTuple):
    """What is raised, whether it may pass, what happened in the gateway's words, and what to do."""

    kind: type[ours.KiloCodeError]
    retryable: bool
    said: str
    advice: str


def _invalid(said: str, advice: str = "Check the messages and parameters") -> Row:
    return Row(ours.InvalidRequestError, False, said, advice)


def _long(said: str) -> Row:
    return Row(ours.ContextLengthExceededError, False, said, "shorter messages, lower max_tokens, or choose a model")


def _key(said: str, advice: str) -> Row:
    return Row(ours.AuthenticationError, False, said, advice)


def _credit(said: str, advice: str = "Add credits at https") -> Row:
    return Row(ours.InsufficientBalanceError, False, said, advice)


def _policy(said: str) -> Row:
    return Row(ours.ModelNotAllowedError, False, said, "administrator, loosen `provider`, or choose another model")


def _unknown(said: str, advice: str = "lists the exact ids") -> Row:
    return Row(ours.ModelNotFoundError, False, said, advice)


def _refused(said: str) -> Row:
    return Row(ours.PermissionRefusedError, False, said, "choose another model or other messages")


def _organization(said: str) -> Row:
    return Row(ours.OrganizationError, False, said, "Check organization_id")


def _busy(said: str, advice: str = "Wait and try again") -> Row:
    return Row(ours.RateLimitError, True, said, advice)


def _failed(said: str, advice: str = "try again later, or choose another", *, retryable: bool = True) -> Row:
    return Row(ours.UpstreamError, retryable, said, advice)


def _garbage(said: str, advice: str = "may lead to something that is not the gateway") -> Row:
    return Row(ours.MalformedReplyError, True, said, advice)


def _elsewhere(status: int) -> Row:
    return Row(ours.RedirectRefusedError, False, rf"HTTP {status}.*not followed", "set it as the base URL")


_COLLECT = Row(
    ours.DataCollectionRequiredError, False, "Data collection is required", "provider={'data_collection': 'allow'}"
)

TABLE: dict[str, Row] = {
    "invalid_json_400": _invalid("Could not parse request body"),
    "malformed_json": _invalid("Malformed JSON"),
    "invalid_path": _invalid("only accepts the path"),
    "invalid_request": _invalid("expected an array"),
    "missing_client_ip": _invalid("Unable to determine client IP"),
    "data_collection_required": _COLLECT,
    "data_collection_required_feb": _COLLECT,
    "unsupported_field": _invalid("providerOptions is not supported"),
    "api_kind_not_supported": _invalid("does not support the chat completions API"),
    "byok_400": _invalid("Your provider key is not valid"),
    "unknown_model_400": _unknown("not a valid model ID"),
    "provider_returned_error_400": _invalid("LocalProvider.*tool_use ids must be unique"),
    "context_length_exceeded": _long("maximum context length is 131072"),
    "context_length_upstream": _long("maximum context length is 131072"),
    "context_length_feb_500": _long("maximum context length is 131072"),
    "paid_model_auth_required": _key("need to sign in", "doctor` finds out which"),
    "paid_model_auth_required_feb": _key("need to sign in", "doctor` finds out which"),
    "invalid_token": _key("token is not valid", "copy it again"),
    "promotion_limit": Row(ours.AnonymousQuotaError, False, "Sign up to receive credits", "set KILOCODE_API_KEY"),
    "success_false_401": _key("Invalid token", "copy it again"),
    "upstream_401": _key("No auth credentials", "doctor` finds out which"),
    "credit_402_never_paid": _credit("This is a paid model.*balance is 0 USD"),
    "credit_402_paid_before": _credit("Add credits to continue.*balance is -0.5 USD"),
    "byok_402": _credit("provider account is out of credits", "your own provider account"),
    "insufficient_credits": _credit("Insufficient credits"),
    "account_restricted": _refused("account is restricted"),
    "organization_denied": _organization("not a member"),
    "provider_not_allowed": _policy("No allowed provider"),
    "byok_403": _refused("may not use this model"),
    "upstream_403_moderation": _refused("LocalProvider.*flagged by moderation"),
    "model_not_found": _unknown("could not be found"),
    "model_not_found_feb": _unknown("could not be found"),
    "model_not_allowed": _policy("not allowed for your team"),
    "model_not_allowed_feb": _policy("not allowed for your team"),
    "alpha_ended": _unknown("alpha period", "Choose another model"),
    "unavailable_model": _unknown("is unavailable"),
    "no_endpoints_404": _unknown("No endpoints found", "leave out the unusual parameters, or choose another model"),
    "empty_405": _invalid("without a word of explanation", "Check the base URL"),
    "408": Row(ours.TimeoutExceededError, True, "Request timed out", "Try again, stream the answer, or ask for less"),
    "no_organization_models_409": _organization("No models are available"),
    "413": _invalid("Request entity too large"),
    "413_html": _invalid("413 Payload Too Large"),
    "upgrade_required_426": _invalid("update your editor extension"),
    "rate_limit_free": _busy("Free model usage limit"),
    "rate_limit_feb": _busy("Free model usage limit"),
    "rate_limit_with_retry_after": _busy("Too many requests"),
    "byok_429": _busy("provider account is rate limited", "your own provider key"),
    "provider_returned_error_429": _busy("LocalProvider.*rate-limited upstream"),
    "stealth_429": _busy("Stealth model unable"),
    "empty_500": _failed("without a word of explanation"),
    "upstream_500": _failed("Internal Server Error"),
    "upstream_502": _failed("Provider returned error"),
    "html_502": _failed("502 Bad Gateway"),
    "service_unavailable_503": _failed("temporarily unavailable"),
    "service_unavailable_feb": _failed("temporarily unavailable"),
    "top_up_in_progress": _failed("being topped up"),
    "no_free_models": _failed("No free models", "Choose another model", retryable=False),
    "upstream_disconnect": _failed("closed the connection"),
    "no_instances_503": _failed("No instances available"),
    "timeout_504": _failed("took too long"),
    "529": _failed("Overloaded"),
    "error_in_200": _busy("Rate limited"),
    "error_in_200_as_json_for_stream": _failed("LocalProvider.*upstream is gone"),
    "credit_error_in_200": _credit("Insufficient credits"),
    "html_200": _garbage("not a JSON object.*Please sign in"),
    "bad_json_200": _garbage("not a JSON object"),
    "empty_200": _garbage("not a JSON object.*0 bytes"),
    "no_choices_200": _garbage("has no choices", "its fields are"),
    "stream_error_first": _failed("LocalProvider.*upstream is gone"),
    "stream_error_mid": _busy("Rate limited"),
    "stream_error_mid_with_choices": _failed("LocalProvider.*disconnected unexpectedly"),
    "stream_error_mid_gateway": _failed("disconnected unexpectedly"),
    "stream_error_after": _failed("LocalProvider.*upstream is gone"),
    "stream_empty": _garbage("has no choices", "its fields are"),
    "redirect_301": _elsewhere(301),
    "redirect_302": _elsewhere(302),
    "redirect_307": _elsewhere(307),
    "redirect_308": _elsewhere(308),
}

_CUT = Row(ours.StreamInterruptedError, True, "ended without a finish reason", "not complete")
STREAMED: dict[str, Row] = {
    **TABLE,
    "empty_200": _CUT,
    "stream_empty": _CUT,
    "stream_without_finish": _CUT,
    "stream_done_without_finish": _CUT,
    "stream_error_mid_gateway": _failed("closed the connection"),
}
NOT_OF_CHAT = {
    "byok_key_required",
    "dimensions",
    "failed_to_fetch_models",
    "unsupported_fim_model",
    "unsupported_fim_model_feb",
}
NO_ERROR = {"stream_without_done"}


def _check(error: Any, row: Row) -> None:
    assert type(error) is LANGCHAIN_ERRORS[row.kind]
    assert isinstance(error, ModelError)
    assert (error.retryable, error.is_retryable) == (row.retryable, row.retryable)
    assert re.search(row.said, str(error)), str(error)
    assert row.advice in str(error)


def test_table_names_every_error_that_chat_can_get() -> None:
    assert set(STREAMED) | NOT_OF_CHAT | NO_ERROR == set(Reply.ERRORS)


@pytest.mark.parametrize("ask", ["invoke", "ainvoke"], indirect=True)
@pytest.mark.parametrize("name", list(TABLE))
async def test_whole(ask: Any, model: Any, gateway: Any, name: str) -> None:
    gateway.script(Reply.error(name))
    with pytest.raises(ours.KiloCodeError) as caught:
        await ask(model, "Hello")
    _check(caught.value, TABLE[name])
    assert caught.value.text == ""


@pytest.mark.parametrize("name", list(STREAMED))
async def test_streamed(ask_streamed: Any, model: Any, gateway: Any, name: str) -> None:
    gateway.script(Reply.error(name))
    with pytest.raises(ours.KiloCodeError) as caught:
        await ask_streamed(model, "Hello")
    _check(caught.value, STREAMED[name])
    half = "Half of an answer is here, and then"
    begun = name.startswith(("stream_error_mid", "stream_error_after", "stream_without", "stream_done"))
    assert caught.value.text == (half if begun else "")
    assert ("kept in the error's `text`" in str(caught.value)) == begun


@pytest.mark.parametrize("name", [name for name in TABLE if Reply.error_form(name).form in IN_THE_MIDDLE])
async def test_after_the_first_token(ask_streamed: Any, model: Any, gateway: Any, name: str) -> None:
    body = Reply.error_form(name).body
    assert isinstance(body, dict)
    gateway.script(Reply.chunks([HALF, body]))
    with pytest.raises(ours.KiloCodeError) as caught:
        await ask_streamed(model, "Hello")
    _check(caught.value, TABLE[name])
    assert caught.value.text == "Half an"
    assert "The 7 characters that had arrived are kept in the error's `text`" in str(caught.value)
