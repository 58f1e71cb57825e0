"""What can go wrong, as one tree of exceptions: what happened, why, and what to do now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_BODY = 4000


class KiloCodeError(Exception):
    """Something went wrong on the way to the gateway, at the gateway, or behind it.

    Every error of this project is one of these. None holds the request that was sent or a key; all can be pickled.

    Args:
        message: What happened, why, and what to do.
        status: The HTTP status of the answer, or the code inside a 200 that was an error after all.
        code: The gateway's own name for the failure: `error_type`, else `error.code`.
        body: The answer's body: parsed when it was JSON, else its text, cut to 4,000 characters.
        headers: The answer's safe headers, by lower-case name.
        url: The address that was asked.
        model: The model id that was sent.
        provider: The upstream provider that failed, where the gateway names it.
        retryable: Whether the same request may succeed later.
        retry_after: The seconds to wait that the gateway asked for.
        text: The answer so far, when a stream was cut.
        details: Further facts, such as `balance` or `nearest`.

    """

    default_retryable: ClassVar[bool] = False
    """Whether errors of this class may succeed when tried again, unless one says otherwise."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        text: str = "",
        **details: Any,
    ) -> None:
        Exception.__init__(self, message)
        self.message = message
        self.status = status
        self.code = code
        self.body = body[:_MAX_BODY] if isinstance(body, str) else body
        self.headers = dict(headers or {})
        self.url = url
        self.model = model
        self.provider = provider
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.text = text
        self.details = details

    def __str__(self) -> str:
        return self.message

    def facts(self) -> dict[str, Any]:
        """Give everything but the message, as the keyword arguments that make this error again."""
        names = ("status", "code", "body", "headers", "url", "model", "provider", "retryable", "retry_after", "text")
        return {**{name: getattr(self, name) for name in names}, **self.details}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.facts()))

    def with_attempts(self, attempts: int) -> KiloCodeError:
        """Say how often the request was sent, where that was more than once, and give the error back."""
        if attempts > 1:
            self.details["attempts"] = attempts
            self.message += f" {attempts} attempts were made."
            self.args = (self.message,)
        return self

    def with_failed_models(self, failed: Sequence[Mapping[str, Any]]) -> KiloCodeError:
        """Say which models failed before this one, and give the error back."""
        if failed:
            self.details["failed_models"] = list(failed)
            before = ", ".join(f"{one['model']!r} ({one['error']})" for one in failed)
            self.message += f" It was asked because others had failed before: {before}."
            self.args = (self.message,)
        return self

    def with_text(self, text: str) -> KiloCodeError:
        """Keep the answer so far, say so in the message, and give the error back."""
        if text and not self.text:
            self.text = text
            self.message += where_text_is(text)
            self.args = (self.message,)
        return self


def where_text_is(text: str) -> str:
    """Write the sentence that tells where the answer so far can be found."""
    return f" The {len(text):,} characters that had arrived are kept in the error's `text`."


def _rebuild(cls: type[KiloCodeError], message: str, facts: dict[str, Any]) -> KiloCodeError:
    return cls(message, **facts)


class ConfigurationError(KiloCodeError):
    """A setting cannot be used as it was given. Nothing was sent."""


class UnknownSettingError(ConfigurationError, TypeError):
    """A setting has a name that nothing here knows. Nothing was sent."""


class AuthenticationError(KiloCodeError):
    """The gateway wants a key and got none, or refused the one that came."""


class InsufficientBalanceError(KiloCodeError):
    """The account has no credit left for this model. `details["balance"]` is in USD."""


class PermissionRefusedError(KiloCodeError):
    """The gateway knows who asks and refuses the request."""


class ModelNotAllowedError(PermissionRefusedError):
    """The organization's or the request's own policy excludes the model or all of its providers."""


class OrganizationError(PermissionRefusedError):
    """The organization does not exist, or the key's owner is not one of its members."""


class ModelNotFoundError(KiloCodeError):
    """The gateway has no such model, or has it no longer. `details["nearest"]` lists similar ids."""


class InvalidRequestError(KiloCodeError):
    """The gateway or the upstream provider rejects the request as it is."""


class ContextLengthExceededError(InvalidRequestError):
    """The messages do not fit into the model's context window."""


class DataCollectionRequiredError(InvalidRequestError):
    """The model trains on prompts, and the request or the organization forbids that."""


class RateLimitError(KiloCodeError):
    """Too many requests. `retry_after` says how long to wait, where the gateway does."""

    default_retryable = True


class AnonymousQuotaError(RateLimitError):
    """The free quota for requests without a key is used up on this network address."""

    default_retryable = False


class UpstreamError(KiloCodeError):
    """The gateway, or the provider behind it, failed or is overloaded."""

    default_retryable = True


class ConnectionFailedError(KiloCodeError):
    """The gateway could not be reached, or the connection broke before an answer came."""

    default_retryable = True


class RedirectRefusedError(ConnectionFailedError):
    """The address answers with a redirect, which is never followed: it would carry prompts to another place."""

    default_retryable = False


class TimeoutExceededError(ConnectionFailedError):
    """A time limit ran out."""


class StreamInterruptedError(ConnectionFailedError):
    """An answer broke off before it was complete. What had arrived is in `text`."""


class MalformedReplyError(KiloCodeError):
    """An answer came that is not what the gateway's protocol promises."""

    default_retryable = True


class BudgetExceededError(KiloCodeError):
    """A spending limit was reached, so the call was not made."""


ErrorTable = dict[type[KiloCodeError], type[KiloCodeError]]
"""For each class of this module, the class to raise in its place: a framework's own kind of it."""


def _all_subclasses(cls: type[KiloCodeError]) -> list[type[KiloCodeError]]:
    return [cls, *(sub for direct in cls.__subclasses__() for sub in _all_subclasses(direct))]


ERRORS: ErrorTable = {cls: cls for cls in _all_subclasses(KiloCodeError)}
"""The table that changes nothing."""


def of_table(error: KiloCodeError, table: ErrorTable) -> KiloCodeError:
    """Give the same error, with its cause, of the class that a table names in place of its own."""
    kind = table.get(type(error), type(error))
    if kind is type(error):
        return error
    other = kind(error.message, **error.facts())
    other.__cause__ = error.__cause__
    return other
