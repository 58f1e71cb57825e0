"""Reads what the gateway says when it refuses: every form of error body, as one error of the tree."""

from __future__ import annotations

import email.utils
import json
import re
import time
from datetime import UTC
from typing import TYPE_CHECKING, Any

from kilocode_gateway.error_texts import LASTING_CODES, WRONG_PLACE, Context, Report, text_of
from kilocode_gateway.errors import (
    AnonymousQuotaError,
    AuthenticationError,
    ContextLengthExceededError,
    DataCollectionRequiredError,
    InsufficientBalanceError,
    InvalidRequestError,
    KiloCodeError,
    ModelNotAllowedError,
    ModelNotFoundError,
    OrganizationError,
    PermissionRefusedError,
    RateLimitError,
    RedirectRefusedError,
    TimeoutExceededError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFE_HEADERS = ("date", "content-type", "request-id", "retry-after", "retry-after-ms")
"""The answer's headers that an error keeps. The gateway sends hardly any other."""

_BY_CODE: dict[str, type[KiloCodeError]] = {
    "authentication_required": AuthenticationError,
    "invalid_token": AuthenticationError,
    "paid_model_auth_required": AuthenticationError,
    "promotion_model_limit_reached": AnonymousQuotaError,
    "promotion_limit_reached": AnonymousQuotaError,
    "usage_limit_exceeded": InsufficientBalanceError,
    "insufficient_credits": InsufficientBalanceError,
    "rate_limit_exceeded": RateLimitError,
    "model_not_found": ModelNotFoundError,
    "unavailable_model": ModelNotFoundError,
    "unsupported_fim_model": ModelNotFoundError,
    "model_not_allowed": ModelNotAllowedError,
    "provider_not_allowed": ModelNotAllowedError,
    "account_restricted": PermissionRefusedError,
    "context_length_exceeded": ContextLengthExceededError,
    "data_collection_required": DataCollectionRequiredError,
    "top_up_in_progress": UpstreamError,
    "temporarily_unavailable": UpstreamError,
    "upstream_error": UpstreamError,
    "upstream_disconnect": UpstreamError,
    "no_free_models_available": UpstreamError,
    "refusal_cooldown": UpstreamError,
    "timeout": TimeoutExceededError,
}
"""The gateway's `error_type` and `error.code` values (server sources, February to November 2026; an open list)."""

_OF_THE_REQUEST = frozenset(
    {
        "api_kind_not_supported",
        "invalid_path",
        "invalid_request",
        "organization_auto_configuration",
        "unsupported_field",
    }
)
"""The same of requests that cannot succeed as they are, for where nothing else tells what is wrong with them."""

_BY_STATUS: dict[int, type[KiloCodeError]] = {
    401: AuthenticationError,
    402: InsufficientBalanceError,
    403: PermissionRefusedError,
    404: ModelNotFoundError,
    408: TimeoutExceededError,
    409: OrganizationError,
    429: RateLimitError,
}

_NO_FIM = re.compile(r"is not a (mistralai|supported fim) model", re.IGNORECASE)
_BY_TEXT: tuple[tuple[re.Pattern[str], type[KiloCodeError]], ...] = (
    (re.compile(r"(maximum context length|context window|context length)", re.IGNORECASE), ContextLengthExceededError),
    (re.compile(r"data collection is required", re.IGNORECASE), DataCollectionRequiredError),
    (re.compile(r"(is not a valid model|model not found|no such model)", re.IGNORECASE), ModelNotFoundError),
    (_NO_FIM, ModelNotFoundError),
    (re.compile(r"not allowed for your team", re.IGNORECASE), ModelNotAllowedError),
    (re.compile(r"organi[sz]ation", re.IGNORECASE), OrganizationError),
)
_TEXT_STATUSES: dict[type[KiloCodeError], frozenset[int]] = {
    ContextLengthExceededError: frozenset({400, 413, 422, 500}),
    DataCollectionRequiredError: frozenset({400, 404}),
    ModelNotFoundError: frozenset({400, 404}),
    ModelNotAllowedError: frozenset({403, 404}),
    OrganizationError: frozenset({403}),
}
_ENDED = re.compile(r"alpha period .* has ended", re.IGNORECASE)
_NO_ENDPOINT = re.compile(r"no (allowed )?(endpoints|providers)", re.IGNORECASE)
_GENERIC = re.compile(r"^provider returned error\.?$", re.IGNORECASE)
_RETRYABLE_BELOW_500 = frozenset({408, 429})
_DEEPEST = 6


def error_from_answer(status: int, headers: Mapping[str, str], body: bytes, context: Context) -> KiloCodeError:
    """Read a refusal: any HTTP answer that is not a success.

    Args:
        status: The HTTP status.
        headers: The answer's headers, by lower-case name.
        body: The answer's body, in whatever form: JSON, HTML, text or nothing.
        context: What was asked, and the classes to raise.

    """
    text = context.clean(body.decode("utf-8", "replace")).strip()
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return _redirect(status, headers, context)
    try:
        parsed = json.loads(text) if text else None
    except (ValueError, RecursionError):
        parsed = None
    report = _read(parsed) if isinstance(parsed, dict) else Report(text=_plain(text), foreign=True)
    return _error(status, report, headers, parsed if parsed is not None else text, context)


def error_from_payload(payload: Mapping[str, Any], headers: Mapping[str, str], context: Context) -> KiloCodeError:
    """Read an error that came inside a 200: a body or a stream event with a top-level `error`."""
    report = _read(payload)
    status = report.status or (500 if report.code is None else None)
    return _error(status, report, headers, dict(payload), context)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Give the seconds to wait that the headers ask for: `retry-after-ms`, else `Retry-After` in seconds or as a date.

    What cannot be read, or is negative, counts as absent.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) / scale
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        seconds = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - (
            time.time() if now is None else now
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return max(seconds, 0.0)


def _read(payload: Mapping[str, Any]) -> Report:
    error = payload.get("error")
    outer = payload.get("message")
    report = Report(code=_name(payload.get("error_type")))
    if not isinstance(error, dict):
        report.text = _string(outer) or _string(error) or _dig(payload.get("detail"))
        report.code = report.code or _name(payload.get("type"))
        return report
    code = error.get("code")
    report.status = _status(code)
    metadata = _dict(error.get("metadata"))
    if report.status is None:
        report.code = report.code or _name(code)
    report.code = (
        report.code or _name(error.get("error_type")) or _name(metadata.get("error_type")) or _name(error.get("type"))
    )
    report.bad_key = _name(code) == "invalid_token"
    report.provider = _string(metadata.get("provider_name")) or None
    report.text = _string(error.get("message")) or _string(outer) or _string(error.get("title"))
    reason = _dig(metadata.get("raw"))
    if reason and (not report.text or _GENERIC.match(report.text)):
        report.text = reason
    elif reason and reason not in report.text:
        report.text = f"{report.text} ({reason})"
    for name, key in (
        ("title", "title"),
        ("balance", "balance"),
        ("buyCreditsUrl", "buy_credits_url"),
        ("param", "param"),
    ):
        value = error.get(name, metadata.get(name))
        if value is not None:
            report.details[key] = value
    return report


def _dig(raw: object, depth: int = 0) -> str:
    """Find the upstream's own words inside `metadata.raw`, which is often JSON inside a string."""
    if isinstance(raw, str):
        try:
            inner = json.loads(raw)
        except (ValueError, RecursionError):
            return _plain(raw)
        return _dig(inner, depth + 1) if isinstance(inner, (dict, list)) else _plain(raw)
    if depth >= _DEEPEST:
        return ""
    if isinstance(raw, list):
        return next((text for item in raw[:3] if (text := _dig(item, depth + 1))), "")
    if isinstance(raw, dict):
        for name in ("message", "detail", "error", "error_description", "raw", "msg"):
            if text := _dig(raw.get(name), depth + 1):
                return text
    return ""


def _plain(text: str) -> str:
    if text.lstrip()[:1] == "<":
        text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL | re.IGNORECASE)
        text = re.sub(r"<[^>]*>", " ", text)
    text = " ".join(text.split())
    return text if len(text) <= 500 else text[:500] + "..."  # noqa: PLR2004 - enough to see what it is


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _name(value: object) -> str | None:
    return value.strip().lower() or None if isinstance(value, str) and not value.strip().isdecimal() else None


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) == 3:  # noqa: PLR2004 - a status
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None  # noqa: PLR2004


def _kind(status: int | None, report: Report, context: Context) -> type[KiloCodeError]:
    if report.code in _BY_CODE:
        return _BY_CODE[report.code]
    code = status or 0
    if code in WRONG_PLACE and (report.foreign or context.model is None):
        # A page, or a path that is about no model: the address is wrong, not the model.
        return InvalidRequestError
    for pattern, kind in _BY_TEXT:
        if code in _TEXT_STATUSES[kind] and pattern.search(report.text):
            return kind
    if code in _BY_STATUS:
        return _BY_STATUS[code]
    wrong = 400 <= code < 500 or (status is None and report.code in _OF_THE_REQUEST)  # noqa: PLR2004
    return InvalidRequestError if wrong else UpstreamError


def _error(
    status: int | None, report: Report, headers: Mapping[str, str], body: object, context: Context
) -> KiloCodeError:
    kind = _kind(status, report, context)
    details = dict(report.details)
    if kind is ModelNotFoundError:
        details["reason"] = _why_not_found(report)
        if details["reason"] == "unknown" and context.suggest is not None and context.model:
            details["nearest"] = context.suggest(context.model)
    retryable = kind.default_retryable
    if kind in (UpstreamError, TimeoutExceededError):
        refused = status is not None and status < 500 and status not in _RETRYABLE_BELOW_500  # noqa: PLR2004
        retryable = not refused and report.code not in LASTING_CODES
    return context.make(
        kind,
        text_of(kind, status, report, details, context),
        status=status,
        code=report.code,
        body=body,
        headers={name: headers[name] for name in SAFE_HEADERS if name in headers},
        provider=report.provider,
        retryable=retryable,
        retry_after=retry_after(headers),
        **details,
    )


def _why_not_found(report: Report) -> str:
    if _ENDED.search(report.text):
        return "ended"
    if report.code == "unsupported_fim_model" or _NO_FIM.search(report.text):
        return "no_fim"
    return "no_endpoint" if _NO_ENDPOINT.search(report.text) else "unknown"


def _without_secrets(target: str) -> str:
    """Give an address without what may be a secret: credentials, query and fragment."""
    scheme, slashes, rest = re.split(r"[?#]", target, maxsplit=1)[0].partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def _redirect(status: int, headers: Mapping[str, str], context: Context) -> KiloCodeError:
    shown = _without_secrets(headers.get("location", "")) or "an address that it does not name"
    return context.make(
        RedirectRefusedError,
        f"The address {context.url} answers with a redirect to {shown} (HTTP {status}). Redirects are not followed, "
        "because they would carry the prompts elsewhere. If the new address is the right one, set it as the base URL "
        "(KILOCODE_BASE_URL).",
        status=status,
        headers={name: headers[name] for name in SAFE_HEADERS if name in headers},
        location=shown,
    )
