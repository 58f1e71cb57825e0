"""The same tree of errors, each class also the `openai` one that users of both frameworks already catch.

This is the one room of the core that imports `openai`, and only the integrations enter it.
"""

from __future__ import annotations

import importlib
from typing import Any

import openai

from kilocode_gateway import errors

_HTTPX2_SINCE = 3
"""The major version of `openai` from which on it is built on httpx2."""


class OpenAIShaped(errors.KiloCodeError):
    """What `openai`'s errors offer beside the message.

    Their own constructors want the request and the response, which hold the key and the prompt. Here both are built on
    demand, with the address and the safe headers only.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        errors.KiloCodeError.__init__(self, message, **facts)
        error = self.body.get("error") if isinstance(self.body, dict) else None
        self.param = error.get("param") if isinstance(error, dict) else None
        self.type = error.get("type") if isinstance(error, dict) else None
        self.status_code = self.status
        self.request_id = self.headers.get("request-id")

    @property
    def request(self) -> Any:
        """A request to the same address, without the key and the body that were sent."""
        return _http_library().Request("POST", self.url or "https://api.kilo.ai/")

    @property
    def response(self) -> Any:
        """The answer's status, safe headers and body; None where no answer came, or none with a status."""
        if self.status is None:
            return None
        headers = {name: value for name, value in self.headers.items() if name != "content-type"}
        return _http_library().Response(self.status, headers=headers, json=self.body, request=self.request)


def _http_library() -> Any:
    major = int(openai.__version__.split(".")[0])
    return importlib.import_module("httpx2" if major >= _HTTPX2_SINCE else "httpx")


class APIError(OpenAIShaped, openai.APIError):
    """A `KiloCodeError` of no closer kind."""


class AuthenticationError(OpenAIShaped, errors.AuthenticationError, openai.AuthenticationError):
    """See `errors.AuthenticationError`."""


class InsufficientBalanceError(OpenAIShaped, errors.InsufficientBalanceError, openai.APIStatusError):
    """See `errors.InsufficientBalanceError`."""


class PermissionRefusedError(OpenAIShaped, errors.PermissionRefusedError, openai.PermissionDeniedError):
    """See `errors.PermissionRefusedError`."""


class ModelNotAllowedError(OpenAIShaped, errors.ModelNotAllowedError, openai.PermissionDeniedError):
    """See `errors.ModelNotAllowedError`."""


class OrganizationError(OpenAIShaped, errors.OrganizationError, openai.PermissionDeniedError):
    """See `errors.OrganizationError`."""


class ModelNotFoundError(OpenAIShaped, errors.ModelNotFoundError, openai.NotFoundError):
    """See `errors.ModelNotFoundError`."""


class InvalidRequestError(OpenAIShaped, errors.InvalidRequestError, openai.BadRequestError):
    """See `errors.InvalidRequestError`."""


class ContextLengthExceededError(OpenAIShaped, errors.ContextLengthExceededError, openai.BadRequestError):
    """See `errors.ContextLengthExceededError`."""


class DataCollectionRequiredError(OpenAIShaped, errors.DataCollectionRequiredError, openai.BadRequestError):
    """See `errors.DataCollectionRequiredError`."""


class RateLimitError(OpenAIShaped, errors.RateLimitError, openai.RateLimitError):
    """See `errors.RateLimitError`."""


class AnonymousQuotaError(OpenAIShaped, errors.AnonymousQuotaError, openai.RateLimitError):
    """See `errors.AnonymousQuotaError`."""


class UpstreamError(OpenAIShaped, errors.UpstreamError, openai.InternalServerError):
    """See `errors.UpstreamError`."""


class ConnectionFailedError(OpenAIShaped, errors.ConnectionFailedError, openai.APIConnectionError):
    """See `errors.ConnectionFailedError`."""


class RedirectRefusedError(OpenAIShaped, errors.RedirectRefusedError, openai.APIConnectionError):
    """See `errors.RedirectRefusedError`."""


class TimeoutExceededError(OpenAIShaped, errors.TimeoutExceededError, openai.APITimeoutError):
    """See `errors.TimeoutExceededError`."""


class StreamInterruptedError(OpenAIShaped, errors.StreamInterruptedError, openai.APIConnectionError):
    """See `errors.StreamInterruptedError`."""


class MalformedReplyError(OpenAIShaped, errors.MalformedReplyError, openai.APIResponseValidationError):
    """See `errors.MalformedReplyError`."""


OPENAI_ERRORS: errors.ErrorTable = {
    **errors.ERRORS,
    errors.KiloCodeError: APIError,
    errors.AuthenticationError: AuthenticationError,
    errors.InsufficientBalanceError: InsufficientBalanceError,
    errors.PermissionRefusedError: PermissionRefusedError,
    errors.ModelNotAllowedError: ModelNotAllowedError,
    errors.OrganizationError: OrganizationError,
    errors.ModelNotFoundError: ModelNotFoundError,
    errors.InvalidRequestError: InvalidRequestError,
    errors.ContextLengthExceededError: ContextLengthExceededError,
    errors.DataCollectionRequiredError: DataCollectionRequiredError,
    errors.RateLimitError: RateLimitError,
    errors.AnonymousQuotaError: AnonymousQuotaError,
    errors.UpstreamError: UpstreamError,
    errors.ConnectionFailedError: ConnectionFailedError,
    errors.RedirectRefusedError: RedirectRefusedError,
    errors.TimeoutExceededError: TimeoutExceededError,
    errors.StreamInterruptedError: StreamInterruptedError,
    errors.MalformedReplyError: MalformedReplyError,
}
"""The table for frameworks whose users catch `openai`'s errors. Settings and budgets are ours alone."""
