"""Says what a refusal means: what happened, why, and what to do now."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

from kilocode_gateway.errors import (
    ERRORS,
    AnonymousQuotaError,
    AuthenticationError,
    ContextLengthExceededError,
    DataCollectionRequiredError,
    ErrorTable,
    InsufficientBalanceError,
    InvalidRequestError,
    KiloCodeError,
    ModelNotAllowedError,
    ModelNotFoundError,
    OrganizationError,
    PermissionRefusedError,
    RateLimitError,
    TimeoutExceededError,
    UpstreamError,
)
from kilocode_gateway.hidden import MASK
from kilocode_gateway.policy import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilocode_gateway.hidden import Secret


_Told = TypeVar("_Told")

LASTING_CODES = frozenset({"no_free_models_available"})
"""The gateway's names for failures of its own that another try does not mend."""

WRONG_PLACE = frozenset({404, 405})
"""Statuses that say, with a page or for a path that is about no model, that the address is wrong."""

_BAD_KEY = re.compile(r"invalid token", re.IGNORECASE)
_BYOK = "[BYOK]"
_NEEDS_OWN_KEY = re.compile(r"requires a BYOK API key")
_SHORTEST_KEY = 6
_DEEPEST = 50
"""Levels of a body that an error keeps: more than any refusal has, and far fewer than Python can walk."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a request when its answer has to be read."""

    url: str = ""
    model: str | None = None
    """The model id that was sent; None where a request is about no model."""
    requested: str | None = None
    """The model as the user named it."""
    about: Literal["chat", "embeddings", "fim"] = "chat"
    """What kind of model was asked for; "fim" is one that fills gaps in code."""
    key_source: str = ""
    """Where the key came from, as a sentence says it."""
    authenticated: bool = False
    """Whether a key was sent."""
    errors: ErrorTable = field(default_factory=lambda: ERRORS)
    """The classes to raise."""
    suggest: Callable[[str], list[str]] | None = None
    """Gives the nearest known model ids."""
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    """The key and what else was sent that may be one, so that an answer that repeats it is cleaned before it becomes an
    error."""
    limits: Mapping[str, float | None] | None = None
    """The time limits of each step, in seconds, by their names in the HTTP library."""
    deadline: Deadline = field(default_factory=Deadline)
    """The time limits of the whole call."""
    failed: tuple[dict[str, Any], ...] = ()
    """What is told of the models that failed before this one was asked instead."""
    may_fall_back: bool = False
    """Whether another model stands ready, so that a stream counts as begun with its first token only."""

    def make(self, kind: type[KiloCodeError], message: str, **facts: Any) -> KiloCodeError:
        """Build an error of the table's class for `kind`."""
        message, facts = self.clean(message), self.clean(_clean(facts, ""))
        return self.errors.get(kind, kind)(message, url=self.url or None, model=self.model, **facts)

    def clean(self, told: _Told) -> _Told:
        """Put asterisks where something secret stands in what was told; before a text is cut, or a part would stay."""
        for secret in self.secrets:
            if len(key := secret.reveal()) >= _SHORTEST_KEY:
                for form in {key, json.dumps(key)[1:-1], quote(key), quote(key, safe="")}:
                    told = _clean(told, form)
        return told


def _clean(value: Any, key: str, depth: int = 0) -> Any:
    """Put asterisks where a key stands in text, and dots in the place of what no error could be pickled with."""
    if isinstance(value, str):
        return value.replace(key, MASK) if key else value
    if not isinstance(value, dict | list):
        return value
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {_clean(name, key): _clean(inner, key, depth + 1) for name, inner in value.items()}
    return [_clean(inner, key, depth + 1) for inner in value]


@dataclass(slots=True)
class Report:
    """The parts of an error body, whatever form it had."""

    text: str = ""
    code: str | None = None
    status: int | None = None
    provider: str | None = None
    bad_key: bool = False
    """Whether the gateway says that it is the key that is wrong. Only newer ones do."""
    foreign: bool = False
    """Whether the body is no JSON object, so that the gateway itself did not write it."""
    details: dict[str, Any] = field(default_factory=dict)


def text_of(
    kind: type[KiloCodeError], status: int | None, report: Report, details: Mapping[str, Any], context: Context
) -> str:
    """Write an error's text: what happened and to what, in whose words, and what to do now."""
    said = report.text.rstrip(".")
    who = f"the provider {report.provider}" if report.provider else "the gateway"
    code = f" (HTTP {status})" if status else ""
    id_ = f"the model {context.model!r}" if context.model else "the model"
    if context.requested and context.model and context.requested != context.model:
        id_ = f"the model {context.requested!r} (sent as {context.model!r})"
    model = f" for {id_}" if context.model else ""
    advice = _advice(kind, report, details, context)
    if kind is InvalidRequestError and status in WRONG_PLACE:
        advice = f"Check the base URL: {context.url} seems to be no address of the gateway."
    words = f": {said}." if said else " without a word of explanation."
    sent = "prompt and the suffix" if context.about == "fim" else "messages"
    headline = _HEADLINE.get(kind, _HEADLINE[KiloCodeError]).format(
        who=who[0].upper() + who[1:], model=model, id=id_, sent=sent
    )
    return f"{headline}{code}{words}{' ' if advice else ''}{advice}"


def _advice(kind: type[KiloCodeError], report: Report, details: Mapping[str, Any], context: Context) -> str:
    if _NEEDS_OWN_KEY.search(report.text):
        return "Store a key of the model's own provider in the dashboard at app.kilo.ai, or choose another model."
    if context.about == "fim" and kind in _FIM_ADVICE and not report.text.startswith(_BYOK):
        return _FIM_ADVICE[kind]
    advise = _ADVICE.get(kind)
    return advise(report, details, context) if advise is not None else _FIXED_ADVICE.get(kind, "")


_HEADLINE: dict[type[KiloCodeError], str] = {
    KiloCodeError: "{who} refused the request{model}",
    AuthenticationError: "{who} asks for a valid sign-in{model}",
    InsufficientBalanceError: "There is not enough credit{model}",
    AnonymousQuotaError: "The free quota for requests without a key is used up{model}",
    RateLimitError: "{who} received too many requests{model}",
    ModelNotFoundError: "{who} cannot serve {id}",
    ModelNotAllowedError: "A policy excludes {id} or its providers",
    OrganizationError: "{who} refused the organization{model}",
    PermissionRefusedError: "{who} does not permit the request{model}",
    ContextLengthExceededError: "The {sent} are too long{model}",
    DataCollectionRequiredError: "Training on prompts would have to be allowed{model}",
    InvalidRequestError: "{who} rejected the request{model}",
    TimeoutExceededError: "{who} ran out of time{model}",
    UpstreamError: "{who} failed{model}",
}


def advise_key(about: str) -> str:
    """Say how to go on where there is no key, for a request about this kind of model."""
    free = ", or choose a free model: an id that ends in ':free', or 'kilo-auto/free'" if about == "chat" else ""
    return (
        f"Set KILOCODE_API_KEY or pass api_key=... (the key is in your profile at app.kilo.ai){free}. To try your "
        "program without a key, run `python -m kilocode_gateway serve`, a gateway on this machine."
    )


def _advise_authentication(report: Report, _details: Mapping[str, Any], context: Context) -> str:
    if report.text.startswith(_BYOK):
        return "It is your own provider key that was refused: renew it in the dashboard at app.kilo.ai."
    if not context.authenticated:
        return f"No API key was sent. {advise_key(context.about)}"
    if report.bad_key or _BAD_KEY.search(report.text):
        source = f" The one that was refused {context.key_source}." if context.key_source else ""
        return f"The API key is wrong, expired or revoked: copy it again from your profile at app.kilo.ai.{source}"
    return (
        "A key was sent, and the gateway gives this one answer to a bad or expired key, a blocked user and an "
        "organization that the user does not belong to. `python -m kilocode_gateway doctor` finds out which."
    )


def _advise_balance(report: Report, details: Mapping[str, Any], _context: Context) -> str:
    if report.text.startswith(_BYOK):
        return "It is your own provider account that is out of money."
    balance = details.get("balance")
    has = f"The balance is {balance} USD. " if balance is not None else ""
    return (
        f"{has}Add credits at {details.get('buy_credits_url', 'https://app.kilo.ai/profile')}, or choose a free model."
    )


def _advise_rate(report: Report, _details: Mapping[str, Any], _context: Context) -> str:
    if report.text.startswith(_BYOK):
        return "It is the limit of your own provider key."
    return "Wait and try again; fewer requests at once (max_concurrency, a rate limiter) or another model help."


def _advise_upstream(report: Report, _details: Mapping[str, Any], context: Context) -> str:
    if context.model is None:
        return "It may pass: try again later."
    if report.code in LASTING_CODES:
        return "Choose another model."
    return "It may pass: try again later, or choose another model or provider."


def _advise_not_found(_report: Report, details: Mapping[str, Any], context: Context) -> str:
    if context.about == "embeddings":
        return "Choose an embedding model, such as 'openai/text-embedding-3-small', which every gateway offers."
    if details["reason"] == "no_fim":
        return _FIM_ADVICE[ModelNotFoundError]
    if details["reason"] == "ended":
        return "Choose another model: `python -m kilocode_gateway models` lists them."
    if details["reason"] == "no_endpoint":
        return (
            "No provider of it offers what the request asks for: loosen `provider`, leave out the unusual parameters, "
            "or choose another model."
        )
    nearest = details.get("nearest")
    close = f"Did you mean {' or '.join(repr(name) for name in nearest)}? " if nearest else ""
    return f"{close}`python -m kilocode_gateway models` lists the exact ids."


_FIXED_ADVICE: dict[type[KiloCodeError], str] = {
    InvalidRequestError: "Check the messages and parameters of the request.",
    PermissionRefusedError: "Ask the gateway's support, or choose another model or other messages.",
    TimeoutExceededError: "Try again, stream the answer, or ask for less.",
    AnonymousQuotaError: "Sign up at app.kilo.ai and set KILOCODE_API_KEY, or wait a day.",
    ModelNotAllowedError: "Ask the organization's administrator, loosen `provider`, or choose another model.",
    OrganizationError: "Check organization_id (KILOCODE_ORGANIZATION_ID) and that the key's owner is a member.",
    ContextLengthExceededError: (
        "Send fewer or shorter messages, lower max_tokens, or choose a model with a larger context window."
    ),
    DataCollectionRequiredError: (
        "Allow it with provider={'data_collection': 'allow'}, or choose a model that does not train on prompts."
    ),
}
_FIM_ADVICE: dict[type[KiloCodeError], str] = {
    InsufficientBalanceError: (
        "Add credits at https://app.kilo.ai/profile, or store a key of the model's own provider in the dashboard at "
        "app.kilo.ai."
    ),
    InvalidRequestError: "Check prompt, suffix, stop and the other parameters of the request.",
    ModelNotFoundError: (
        "Choose one that fills gaps in code: 'mistralai/codestral-2508' or 'inception/mercury-edit-2'. Older gateways "
        "know only those that begin with 'mistralai/'."
    ),
    ModelNotAllowedError: "Ask the organization's administrator, or choose another model that fills gaps in code.",
    ContextLengthExceededError: "Send less of the code before and after the gap, or lower max_tokens.",
    DataCollectionRequiredError: "Choose another model that fills gaps in code.",
    UpstreamError: "It may pass: try again later, or choose another model that fills gaps in code.",
}
"""What stands in the place of the usual advice where a gap was to be filled: the wire has no `provider` there, and
the newest gateway knows two models (server source, 2026)."""
_ADVICE: dict[type[KiloCodeError], Callable[[Report, Mapping[str, Any], Context], str]] = {
    AuthenticationError: _advise_authentication,
    InsufficientBalanceError: _advise_balance,
    RateLimitError: _advise_rate,
    ModelNotFoundError: _advise_not_found,
    UpstreamError: _advise_upstream,
}
