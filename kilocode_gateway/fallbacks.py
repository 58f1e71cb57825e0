"""When another model is asked in place of one that failed, and how that is told."""

from __future__ import annotations

from typing import Any

from kilocode_gateway.errors import (
    AnonymousQuotaError,
    KiloCodeError,
    ModelNotFoundError,
    RateLimitError,
    StreamInterruptedError,
    TimeoutExceededError,
    UpstreamError,
)

_MAY_PASS_ELSEWHERE = (ModelNotFoundError, RateLimitError, UpstreamError)


def another_may_help(error: object, *, begun: bool) -> bool:
    """Say whether an error is one of this model: its provider failed or is overloaded, or the model is retired.

    What concerns the request, the key or the account would fail with every model, and a gateway that cannot be reached
    has no other one.

    Args:
        error: What the attempts came to; anything but an error needs no other model.
        begun: Whether the answer may have begun, so that it is paid for.

    """
    if not isinstance(error, KiloCodeError) or isinstance(error, AnonymousQuotaError):
        return False
    step = error.details.get("step")
    if isinstance(error, TimeoutExceededError) and step != "body":
        # The gateway's own word, or its silence once it had the request.
        return step in (None, "read")
    if isinstance(error, (TimeoutExceededError, StreamInterruptedError)):
        return not begun
    return isinstance(error, _MAY_PASS_ELSEWHERE)


def told(error: KiloCodeError) -> dict[str, Any]:
    """Give what a reply tells of a model that failed before it, as plain JSON."""
    return {
        "model": error.model,
        "error": type(error).__name__,
        "status": error.status,
        "code": error.code,
        "message": error.message,
    }
