"""Every error the gateway is known to give, by name: status, body form, headers.

Bodies come in five forms: a plain string in `error`; an object with a string code; an object about credits; the
upstream provider's object with a number as code; and {"success": false}. The gateway's server source of February 2026
and its newest one are where they come from; "newest" bodies carry an `error_type`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.chat import Answer, Envelope, chunks, dump, merged

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = {"content-type": "application/json", "content-encoding": "identity"}
_PROFILE = "https://app.kilo.ai/profile"
_HALF = "Half of an answer is here, and then"


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """One way to fail."""

    status: int
    body: dict[str, Any] | str
    form: str
    """Which body form it is: text, code, credit, upstream, account, dimensions, html, empty, stream, redirect."""
    headers: dict[str, str] = field(default_factory=lambda: dict(_JSON))
    stream: Callable[[Envelope], list[dict[str, Any]]] | None = None
    """The chunks that a streaming request gets instead of the body."""
    done: bool = False
    """Whether [DONE] follows those chunks."""

    def body_bytes(self, envelope: Envelope) -> bytes:
        """Give the body for a request without stream."""
        if self.stream is not None and not self.body:
            return dump(merged(self.stream(envelope), envelope)).encode()
        return self.body.encode() if isinstance(self.body, str) else dump(self.body).encode()


def _text(status: int, error: str, message: str | None = None, kind: str | None = None, **headers: str) -> ErrorForm:
    body = {"error": error, **({"error_type": kind} if kind else {}), "message": message or error}
    return ErrorForm(
        status, body, "text", {**_JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def _code(status: int, code: str, message: str, kind: str | None = None, **headers: str) -> ErrorForm:
    body = {"error": {"code": code, "message": message}, **({"error_type": kind} if kind else {})}
    return ErrorForm(
        status, body, "code", {**_JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def _credit(title: str, message: str, balance: float) -> ErrorForm:
    error = {"title": title, "message": message, "balance": balance, "buyCreditsUrl": _PROFILE}
    return ErrorForm(402, {"error": error, "error_type": "usage_limit_exceeded"}, "credit")


def _upstream(status: int, message: str, raw: str | None = None, code: Any = None) -> ErrorForm:
    error: dict[str, Any] = {"message": message, "code": status if code is None else code}
    if raw is not None:
        error["metadata"] = {"raw": raw, "provider_name": "LocalProvider"}
    return ErrorForm(status, {"error": error, "user_id": "org_local"}, "upstream")


def _redirect(status: int) -> ErrorForm:
    return ErrorForm(status, "", "redirect", {"location": "https://elsewhere.invalid/api/gateway/chat/completions"})


def _half(envelope: Envelope) -> list[dict[str, Any]]:
    return chunks(Answer(_HALF), envelope)[:-2]


def _broken(
    *tail: dict[str, Any], body: dict[str, Any] | None = None, done: bool = False, half: bool = True
) -> ErrorForm:
    """Make a stream that breaks: half an answer unless told otherwise, then these chunks."""
    return ErrorForm(
        200, body or {}, "stream", stream=lambda envelope: [*(_half(envelope) if half else []), *tail], done=done
    )


_DISCONNECTED = {
    "code": 502,
    "message": "Provider disconnected unexpectedly",
    "metadata": {"provider_name": "LocalProvider", "error_type": "provider_unavailable"},
}
_RETURNED = {
    "error": {
        "code": 502,
        "message": "Provider returned error",
        "metadata": {"raw": "upstream is gone", "provider_name": "LocalProvider"},
    }
}
_LIMITED = {"error": {"code": 429, "message": "Rate limited"}, "user_id": "org_local"}
_ERROR_CHOICE = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
_COLLECT = (
    "Data collection is required for this model. Please enable data collection to use this model or choose another "
    "model."
)
_TOO_LONG = "The maximum context length is 131072 tokens. However, about 200000 tokens were requested."
_RAW = '{"detail":"this model is temporarily rate-limited upstream, add your own key"}'
_UNAVAILABLE = "The service is temporarily unavailable. Please try again later."
_FREE_LIMIT = "Free model usage limit reached. Please try again later or upgrade to a paid model."

FORMS: dict[str, ErrorForm] = {
    # 400
    "invalid_json_400": _text(400, "Invalid request", "Could not parse request body. Please ensure it is valid JSON."),
    "malformed_json": _text(400, "Malformed JSON", kind="invalid_request"),
    "invalid_path": _text(
        400, "Invalid path", "This endpoint only accepts the path `/chat/completions`.", "invalid_path"
    ),
    "invalid_request": _text(400, "Invalid request", "messages: expected an array.", "invalid_request"),
    "missing_client_ip": ErrorForm(400, {"error": "Unable to determine client IP"}, "text"),
    "data_collection_required": _text(400, _COLLECT, kind="data_collection_required"),
    "data_collection_required_feb": _text(400, _COLLECT),
    "unsupported_field": _text(
        400, "Unsupported field", "providerOptions is not supported by this endpoint.", "unsupported_field"
    ),
    "api_kind_not_supported": _text(
        400, "This model does not support the chat completions API.", kind="api_kind_not_supported"
    ),
    "unsupported_fim_model": ErrorForm(
        400,
        {"error": "no/such-model is not a supported FIM model", "error_type": "unsupported_fim_model"},
        "text",
    ),
    "unsupported_fim_model_feb": ErrorForm(400, {"error": "no/such-model is not a mistralai model"}, "text"),
    "byok_key_required": ErrorForm(
        400,
        {
            "error": "This model requires a BYOK API key. Please configure your API key in settings.",
            "error_type": "byok_key_required",
        },
        "text",
    ),
    "byok_400": _text(400, "[BYOK] Your provider key is not valid for this model.", kind="byok_error"),
    "unknown_model_400": _upstream(400, "no/such-model is not a valid model ID"),
    "provider_returned_error_400": _upstream(
        400, "Provider returned error", '{"error":{"message":"messages.1: tool_use ids must be unique"}}'
    ),
    "dimensions": ErrorForm(
        400,
        {
            "error": {
                "message": "Remove dimensions, or lower it to at most 1536.",
                "type": "invalid_request_error",
                "param": "dimensions",
                "code": None,
            }
        },
        "dimensions",
    ),
    "context_length_exceeded": _text(
        400, "This request exceeds the model's context window.", _TOO_LONG, "context_length_exceeded"
    ),
    "context_length_upstream": _upstream(
        400, "This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens."
    ),
    "context_length_feb_500": _text(500, _TOO_LONG),
    # 401
    "paid_model_auth_required": _code(
        401, "PAID_MODEL_AUTH_REQUIRED", "You need to sign in to use this model.", "paid_model_auth_required"
    ),
    "paid_model_auth_required_feb": _code(401, "PAID_MODEL_AUTH_REQUIRED", "You need to sign in to use this model."),
    "invalid_token": _code(
        401,
        "INVALID_TOKEN",
        "The token is not valid.",
        "authentication_required",
        www_authenticate='Bearer error="invalid_token"',
    ),
    "promotion_limit": _code(
        401,
        "PROMOTION_MODEL_LIMIT_REACHED",
        "Sign up to receive credits and to continue using free models.",
        "promotion_limit_reached",
    ),
    "success_false_401": ErrorForm(401, {"success": False, "error": "Invalid token (00000000)"}, "account"),
    "upstream_401": _upstream(401, "No auth credentials found"),
    # 402
    "credit_402_never_paid": _credit(
        "Paid Model - Credits Required", "This is a paid model. To use paid models, you need to add credits.", 0
    ),
    "credit_402_paid_before": _credit(
        "Low Credit Warning!", "Add credits to continue, or switch to a free model", -0.5
    ),
    "byok_402": _text(402, "[BYOK] Your provider account is out of credits.", kind="byok_error"),
    "insufficient_credits": ErrorForm(
        402, {"error": {"message": "Insufficient credits"}, "error_type": "insufficient_credits"}, "code"
    ),
    # 403
    "account_restricted": _text(403, "Request not allowed", "This account is restricted.", "account_restricted"),
    "organization_denied": _text(403, "You are not a member of this organization."),
    "provider_not_allowed": _text(403, "No allowed provider serves this model.", kind="provider_not_allowed"),
    "byok_403": _text(403, "[BYOK] Your provider account may not use this model.", kind="byok_error"),
    "upstream_403_moderation": _upstream(403, "Input was flagged by moderation", "flagged"),
    # 404
    "model_not_found": _text(
        404,
        "The model no/such-model does not exist. Use an exact id of those listed at /models.",
        "The requested model could not be found.",
        "model_not_found",
    ),
    "model_not_found_feb": _text(404, "Model not found", "The requested model could not be found."),
    "model_not_allowed": _text(404, "Model not allowed for your team.", kind="model_not_allowed"),
    "model_not_allowed_feb": _text(404, "Model not allowed for your team."),
    "alpha_ended": _text(404, "The alpha period for this model has ended."),
    "unavailable_model": _text(404, "This model is unavailable.", kind="unavailable_model"),
    "no_endpoints_404": _upstream(404, "No endpoints found that support tool use."),
    # The other client errors
    "empty_405": ErrorForm(405, "", "empty", {}),
    "408": _upstream(408, "Request timed out"),
    "no_organization_models_409": ErrorForm(409, {"error": "No models are available for this organization."}, "text"),
    "413": _upstream(413, "Request entity too large"),
    "413_html": ErrorForm(
        413, "<html><body><h1>413 Payload Too Large</h1></body></html>", "html", {"content-type": "text/html"}
    ),
    "upgrade_required_426": _text(426, "Please update your editor extension.", kind="upgrade_required"),
    # 429
    "rate_limit_free": _text(429, "Rate limit exceeded", _FREE_LIMIT, "rate_limit_exceeded"),
    "rate_limit_feb": _text(429, "Rate limit exceeded", _FREE_LIMIT),
    "rate_limit_with_retry_after": _text(
        429,
        "Rate limit exceeded",
        "Too many requests. Please try again later.",
        "rate_limit_exceeded",
        retry_after="1",
        retry_after_ms="20",
    ),
    "byok_429": _text(429, "[BYOK] Your provider account is rate limited.", kind="byok_error"),
    "provider_returned_error_429": _upstream(429, "Provider returned error", _RAW),
    # 5xx
    "empty_500": ErrorForm(500, "", "empty", {}),
    "upstream_500": _upstream(500, "Internal Server Error"),
    "failed_to_fetch_models": _text(500, "Failed to fetch models", "The list could not be read."),
    "upstream_502": _upstream(502, "Provider returned error"),
    "html_502": ErrorForm(
        502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "html", {"content-type": "text/html; charset=utf-8"}
    ),
    "service_unavailable_503": _text(503, "Service Unavailable", _UNAVAILABLE, "temporarily_unavailable"),
    "service_unavailable_feb": _text(503, "Service Unavailable", _UNAVAILABLE),
    "top_up_in_progress": _text(
        503, "Top-up in progress", "Your balance is being topped up. Try again.", "top_up_in_progress", retry_after="5"
    ),
    "no_free_models": _text(503, "No free models are available.", kind="no_free_models_available"),
    "upstream_disconnect": _text(503, "The upstream closed the connection.", kind="upstream_disconnect"),
    "no_instances_503": _upstream(503, "No instances available"),
    "timeout_504": _upstream(504, "The upstream took too long."),
    "529": _upstream(529, "Overloaded"),
    "stealth_429": ErrorForm(429, {"error": "Stealth model unable to process request"}, "text"),
    # Inside a 200
    "error_in_200": ErrorForm(200, _LIMITED, "upstream"),
    "error_in_200_as_json_for_stream": ErrorForm(200, _RETURNED, "upstream"),
    "credit_error_in_200": ErrorForm(
        200, {"error": {"message": "Insufficient credits", "code": 402}, "user_id": "org_local"}, "upstream"
    ),
    "html_200": ErrorForm(
        200, "<html><body>Welcome to the network. Please sign in.</body></html>", "html", {"content-type": "text/html"}
    ),
    "bad_json_200": ErrorForm(200, '{"id":"gen-1","choices":[{"index":0,"mess', "broken"),
    "empty_200": ErrorForm(200, "", "empty", {}),
    "no_choices_200": ErrorForm(200, {"id": "gen-1", "object": "chat.completion", "choices": []}, "broken"),
    "stream_error_first": _broken(_RETURNED, body=_RETURNED, done=True, half=False),
    "stream_error_mid": _broken(_LIMITED, body=_LIMITED),
    "stream_error_mid_with_choices": _broken(
        {"error": _DISCONNECTED, "choices": [_ERROR_CHOICE]}, body={"error": _DISCONNECTED}, done=True
    ),
    "stream_error_mid_gateway": _broken(
        {
            "error": {"code": 503, "message": "The upstream closed the connection.", "type": "upstream_disconnect"},
            "choices": [],
        },
        body={"error": _DISCONNECTED},
    ),
    "stream_error_after": ErrorForm(
        200, _RETURNED, "stream", stream=lambda envelope: [*chunks(Answer(_HALF), envelope)[:-1], _RETURNED]
    ),
    "stream_without_done": ErrorForm(200, {}, "stream", stream=lambda envelope: chunks(Answer(_HALF), envelope)),
    "stream_without_finish": _broken(),
    "stream_done_without_finish": _broken(done=True),
    "stream_empty": _broken(half=False),
    # Redirects to another origin
    "redirect_301": _redirect(301),
    "redirect_302": _redirect(302),
    "redirect_307": _redirect(307),
    "redirect_308": _redirect(308),
}
