"""The gateway's errors as LangChain users catch them: by our class, by `openai`'s, or by langchain-core's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from langchain_core import exceptions as core
from langchain_core.exceptions import OutputParserException

from kilocode_gateway import errors, openai_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.errors import ErrorTable

P = ParamSpec("P")
R = TypeVar("R")


class _Retryable:
    """What LangChain's retry machinery reads of an error."""

    retryable: bool

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed later, decided for this very answer."""
        return self.retryable


class APIError(_Retryable, openai_errors.APIError, core.ModelError):
    """A `KiloCodeError` of no closer kind."""


class AuthenticationError(_Retryable, openai_errors.AuthenticationError, core.ModelAuthenticationError):
    """See `kilocode_gateway.AuthenticationError`."""


class InsufficientBalanceError(_Retryable, openai_errors.InsufficientBalanceError, core.ModelPermissionDeniedError):
    """See `kilocode_gateway.InsufficientBalanceError`. langchain-core has no kind for an empty account."""


class PermissionRefusedError(_Retryable, openai_errors.PermissionRefusedError, core.ModelPermissionDeniedError):
    """See `kilocode_gateway.PermissionRefusedError`."""


class ModelNotAllowedError(_Retryable, openai_errors.ModelNotAllowedError, core.ModelPermissionDeniedError):
    """See `kilocode_gateway.ModelNotAllowedError`."""


class OrganizationError(_Retryable, openai_errors.OrganizationError, core.ModelPermissionDeniedError):
    """See `kilocode_gateway.OrganizationError`."""


class ModelNotFoundError(_Retryable, openai_errors.ModelNotFoundError, core.ModelNotFoundError):
    """See `kilocode_gateway.ModelNotFoundError`."""


class InvalidRequestError(_Retryable, openai_errors.InvalidRequestError, core.ModelInvalidRequestError):
    """See `kilocode_gateway.InvalidRequestError`."""


class ContextLengthExceededError(_Retryable, openai_errors.ContextLengthExceededError, core.ContextOverflowError):
    """See `kilocode_gateway.ContextLengthExceededError`. SummarizationMiddleware acts on it."""


class DataCollectionRequiredError(_Retryable, openai_errors.DataCollectionRequiredError, core.ModelInvalidRequestError):
    """See `kilocode_gateway.DataCollectionRequiredError`."""


class RateLimitError(_Retryable, openai_errors.RateLimitError, core.ModelRateLimitError):
    """See `kilocode_gateway.RateLimitError`."""


class AnonymousQuotaError(_Retryable, openai_errors.AnonymousQuotaError, core.ModelRateLimitError):
    """See `kilocode_gateway.AnonymousQuotaError`."""


class UpstreamError(_Retryable, openai_errors.UpstreamError, core.ModelAPIError):
    """See `kilocode_gateway.UpstreamError`."""


class ConnectionFailedError(_Retryable, openai_errors.ConnectionFailedError, core.ModelConnectionError):
    """See `kilocode_gateway.ConnectionFailedError`."""


class RedirectRefusedError(_Retryable, openai_errors.RedirectRefusedError, core.ModelConnectionError):
    """See `kilocode_gateway.RedirectRefusedError`."""


class TimeoutExceededError(_Retryable, openai_errors.TimeoutExceededError, core.ModelTimeoutError):
    """See `kilocode_gateway.TimeoutExceededError`."""


class StreamInterruptedError(_Retryable, openai_errors.StreamInterruptedError, core.ModelConnectionError):
    """See `kilocode_gateway.StreamInterruptedError`."""


class MalformedReplyError(_Retryable, openai_errors.MalformedReplyError, core.ModelAPIError):
    """See `kilocode_gateway.MalformedReplyError`."""


class ConfigurationError(_Retryable, errors.ConfigurationError, core.ModelError):
    """See `kilocode_gateway.ConfigurationError`. LangChain repeats what is no `ModelError`, so this is one."""


class UnknownSettingError(_Retryable, errors.UnknownSettingError, core.ModelError):
    """See `kilocode_gateway.UnknownSettingError`."""


class BudgetExceededError(_Retryable, errors.BudgetExceededError, core.ModelError):
    """See `kilocode_gateway.BudgetExceededError`."""


LANGCHAIN_ERRORS: ErrorTable = {
    **openai_errors.OPENAI_ERRORS,
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
    errors.ConfigurationError: ConfigurationError,
    errors.UnknownSettingError: UnknownSettingError,
    errors.BudgetExceededError: BudgetExceededError,
}
"""The table that the transport raises from. Settings and budgets are none of `openai`'s errors."""


def as_langchain(error: errors.KiloCodeError) -> errors.KiloCodeError:
    """Give the same error of the class that LangChain's machinery knows."""
    return errors.of_table(error, LANGCHAIN_ERRORS)


def told_to_langchain(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function raise wrong settings as errors of the class that LangChain's machinery knows."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except errors.ConfigurationError as exc:
            error = as_langchain(exc)
        raise error

    return call


class StructuredOutputError(errors.KiloCodeError, OutputParserException):
    """The model's answer does not fill the schema. The answer itself is in `text`, also as `llm_output`."""

    observation = None
    send_to_llm = False

    def __init__(self, message: str, **facts: Any) -> None:
        # langchain-core's own constructor adds a link to a page that knows nothing of this.
        errors.KiloCodeError.__init__(self, message, **facts)
        self.llm_output = self.text


class AnswerTruncatedError(StructuredOutputError):
    """The answer was cut at its token limit before the schema was filled. What had arrived is in `text`."""


class AnswerRefusedError(StructuredOutputError):
    """The model, or a content filter, refused to answer. What it said is in `text`."""
