"""The names of the settings, and how those from the constructor, `additional_kwargs` and the call become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from kilocode_gateway import wire
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from llama_index_kilocode._link import CLIENTS, HTTPTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.types import BaseOutputParser, PydanticProgramMode

PER_CALL = ("model", "extra_body", "extra_headers", "timeout")
"""What a call takes beside the gateway's parameters."""

_LEGACY = ("class_name", "api_type", "max_new_tokens")
"""What the base class has always taken: the tag of `from_dict`, and two names of times past."""

_BY_THE_METHOD = {
    "stream": "it is the method that decides: call stream_chat or stream_complete",
    "messages": "the messages are the method's first argument",
    "openai_client": "no openai client is used. Pass http_client=",
    "async_openai_client": "no openai client is used. Pass async_http_client=",
}
_OTHER_NAMES = {
    "base_url": "api_base",
    "openai_api_key": "api_key",
    "openai_api_base": "api_base",
    "model_name": "model",
    "organization": "organization_id",
    "app_name": "feature",
    "app_title": "feature",
    "http_async_client": "async_http_client",
    "request_timeout": "timeout",
    "read_timeout": "timeout",
    "timeout_s": "timeout",
    "timeout_seconds": "timeout",
    "headers": "default_headers",
    "extra_headers": "default_headers",
    "max_output_tokens": "max_tokens",
    "audio_config": "audio",
}


# Editors offer the known values; any other string may be one that a newer model knows.
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051
Verbosity = Literal["low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051


class KiloCodeSettings(TypedDict, total=False):
    """What `KiloCode` takes, for editors and type checkers. Each is documented at the class and its fields."""

    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    stop: str | list[str] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    logprobs: bool | None
    top_logprobs: int
    reasoning: dict[str, Any] | None
    reasoning_effort: Effort | None
    verbosity: Verbosity | None
    provider: dict[str, Any] | None
    transforms: list[str] | None
    plugins: list[dict[str, Any]] | None
    modalities: list[str] | None
    audio_config: dict[str, Any] | None
    extra_body: dict[str, Any] | None
    additional_kwargs: dict[str, Any] | None
    timeout: float | tuple[float, float] | HTTPTimeout | None
    first_token_timeout: float | None
    total_timeout: float | None
    max_retries: int
    fallback_models: list[str] | None
    check_inputs: bool
    mode: str | None
    task_id: str | None
    default_headers: dict[str, str] | None
    http_client: Any
    async_http_client: Any
    reuse_client: bool
    context_window: int | None
    is_function_calling_model: bool | None
    is_chat_model: bool
    should_use_structured_outputs: bool
    strict: bool
    tokenizer: Any
    system_prompt: str | None
    messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None
    completion_to_prompt: Callable[[str], str] | None
    query_wrapper_prompt: Any
    pydantic_program_mode: PydanticProgramMode
    output_parser: BaseOutputParser | None
    callback_manager: CallbackManager | None
    rate_limiter: Any
    api_version: str | None
    # The gateway's further parameters, kept in `additional_kwargs`.
    audio: dict[str, Any]
    cache_control: dict[str, Any]
    enable_thinking: bool
    include_reasoning: bool
    logit_bias: dict[str, float]
    max_completion_tokens: int
    n: Literal[1]
    metadata: dict[str, Any]
    parallel_tool_calls: bool
    prediction: dict[str, Any]
    prompt_cache_key: str
    prompt_cache_retention: str
    reasoning_split: bool
    response_format: dict[str, Any]
    route: str
    safety_identifier: str
    service_tier: str
    store: bool
    stream_options: dict[str, Any]
    thinking: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_a: float
    user: str
    web_search_options: dict[str, Any]


_OF_A_CALL = frozenset({*PER_CALL, *wire.NAMES})
_OF_THE_MODEL = frozenset(KiloCodeSettings.__annotations__) - _OF_A_CALL
"""What only the constructor takes. Sent as fields of a request, keys and headers would end in the provider's logs."""


def split(settings: dict[str, Any], fields: Iterable[str], kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give settings as fields, with the gateway's further parameters put into `additional_kwargs`.

    Args:
        settings: What was given, by name.
        fields: The names of the class's fields.
        kept: The `additional_kwargs` over which further parameters are laid when no others are given.

    Raises:
        UnknownSettingError: If a name is neither a field nor a parameter of the gateway.
        ConfigurationError: If something in `additional_kwargs` cannot be used.

    """
    known = {*fields, *_LEGACY, *CLIENTS}
    check(settings, {*known, *wire.NAMES}, where="KiloCode")
    settings = {name: value for name, value in settings.items() if name not in ("class_name", "api_type")}
    for spelling in ("max_completion_tokens", "max_new_tokens"):
        limit = settings.pop(spelling, None)
        if limit is not None and settings.get("max_tokens") is None:
            settings["max_tokens"] = limit
    rest = {name: settings.pop(name) for name in list(settings) if name not in known}
    given = settings.get("additional_kwargs")
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"KiloCode: additional_kwargs must be a dict, got {type(given).__name__}.")
    if "additional_kwargs" in settings or rest:
        own = wire.merge(rest, given or {}) if "additional_kwargs" in settings else wire.put_together(kept or {}, rest)
        own |= {name: None for name, value in (given or {}).items() if value is None}  # it takes a field out
        settings["additional_kwargs"] = own
        refuse_headers(own, where="KiloCode")
        check_request(own, where="KiloCode(additional_kwargs=...)")
    return settings


def refuse_headers(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse headers among `additional_kwargs`, which `to_dict` and `repr` show.

    Raises:
        UnknownSettingError: If there are some.

    """
    for name in ("extra_headers", "default_headers", "headers"):
        if name in given:
            raise UnknownSettingError(
                f"{where}(additional_kwargs=...) does not take {name!r}, as to_dict() and repr() show it. What goes "
                f"with each request is a setting of the model: use default_headers, as in {where}(default_headers=...)."
            )


def check_request(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse what cannot be a setting of a call; no value that may be a secret is shown.

    Raises:
        UnknownSettingError: If nothing knows a name, or only the constructor does.
        ConfigurationError: If a value cannot be used.

    """
    check(given, _OF_A_CALL, where=where, of_the_model=_OF_THE_MODEL)
    wire.check_values(given, where=where)
    refuse_more_answers(given, where=where)


def refuse_more_answers(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse to pay for answers that nobody sees.

    Raises:
        ConfigurationError: If `n` is more than 1.

    """
    for place in (given, given.get("extra_body") or {}):
        if isinstance(place, Mapping) and place.get("n") not in (None, 1):
            raise ConfigurationError(
                f"{where}: n must be 1, as a response of LlamaIndex has room for one answer, got {place['n']!r}. "
                "Call it several times, or with achat several at once."
            )


def check(
    given: Iterable[str],
    known: Iterable[str],
    *,
    where: str,
    otherwise: str | None = None,
    of_the_model: Iterable[str] = (),
) -> None:
    """Refuse names that nothing knows.

    Args:
        given: The names that came.
        known: Those that are fine there.
        where: What they were given to, as the message calls it.
        otherwise: What to do about a name that resembles nothing, with the name as `{0!r}`; without it, how to send a
            field that only the gateway knows.
        of_the_model: For a call: what the constructor takes.

    Raises:
        UnknownSettingError: With the name that was meant, where there is one.

    """
    known = frozenset(known)
    for name in given:
        if name in _BY_THE_METHOD:
            raise UnknownSettingError(f"{where} does not take {name!r}: {_BY_THE_METHOD[name]}.")
        if name in known:
            continue
        made = frozenset(of_the_model) - known
        meant = _OTHER_NAMES.get(name, name)
        if meant in known:
            raise UnknownSettingError(f"{where} has no setting {name!r}: here it is called {meant!r}.")
        near = meant if meant in made else wire.nearest_name(name, known | made)
        if near in made:
            raise UnknownSettingError(_of_the_model(name, meant if meant in made else None, near or name, where))
        raise wire.unknown_setting(name, known, where=where, otherwise=otherwise and otherwise.format(name))


def _of_the_model(name: str, meant: str | None, near: str, where: str) -> str:
    fix = f"give it to {where.partition('(')[0]}({near}=...)"
    if near == "default_headers":
        fix += ", or give extra_headers to the call"
    said = repr(name) if meant else f"Did you mean {near!r}? It"
    return f"{where} does not take {name!r} here. {said} is a setting of the model, not of a call: {fix}."
