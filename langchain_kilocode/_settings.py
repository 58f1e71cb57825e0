"""The names and forms of what `ChatKiloCode` takes, beside the fields themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ConfigDict
from typing_extensions import TypedDict

from kilocode_gateway import request_types, wire
from langchain_kilocode.errors import ConfigurationError, UnknownSettingError, told_to_langchain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel


if TYPE_CHECKING:
    ProviderRouting = request_types.ProviderRouting
    Reasoning = request_types.Reasoning
else:

    def _for_pydantic(plain: Any) -> Any:
        """Give a dict type anew as typing_extensions' own, which pydantic demands on Python 3.11."""
        made = TypedDict(plain.__name__, get_type_hints(plain), total=False)
        made.__doc__, made.__module__ = plain.__doc__, __name__
        # A key that the gateway learns later goes out as it is.
        made.__pydantic_config__ = ConfigDict(extra="allow")
        return made

    ProviderRouting = _for_pydantic(request_types.ProviderRouting)
    Reasoning = _for_pydantic(request_types.Reasoning)

REQUEST_FIELDS = (
    *wire.OPTIONS,
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "min_p",
    "n",
    "plugins",
    "presence_penalty",
    "provider",
    "reasoning",
    "reasoning_effort",
    "repetition_penalty",
    "seed",
    "service_tier",
    "store",
    "temperature",
    "top_a",
    "top_k",
    "top_logprobs",
    "top_p",
    "transforms",
    "verbosity",
    "extra_body",
)
"""Fields of the class that the transport gets under their own name when they are set."""

CALL_NAMES = frozenset(
    {"extra_body", "model", "stream_usage", "ls_structured_output_format", "structured_output_format"}
)
"""What a call takes beside the request fields."""

_NOT_HERE = {
    "openai_api_key": "Pass api_key=..., or set KILOCODE_API_KEY",
    "openai_api_base": "Pass base_url=..., or set KILOCODE_BASE_URL",
    "openai_organization": "Pass organization_id=..., or set KILOCODE_ORGANIZATION_ID",
    "organization": "Pass organization_id=..., or set KILOCODE_ORGANIZATION_ID",
    "openai_proxy": "Pass http_client=httpx.Client(proxy=...) and http_async_client=...",
    "http_socket_options": "Pass http_client=... with a transport of your own",
    "use_responses_api": "The gateway's one interface for every model is chat/completions",
    "use_previous_response_id": "The gateway keeps no conversations: send the messages",
    "context_management": "It belongs to OpenAI's Responses API, which is not used",
    "include": "It belongs to OpenAI's Responses API, which is not used",
    "truncation": "It belongs to OpenAI's Responses API, which is not used. See transforms=['middle-out']",
    "prompt_cache_options": "Pass extra_body={'prompt_cache_options': ...} if an upstream wants it",
    "include_response_headers": "The gateway passes on no headers of the provider",
    "tiktoken_model_name": "Tokens are estimated offline. Pass custom_get_token_ids=... to count them yourself",
    "stream": "Pass streaming=True, or call stream()",
    "stream_chunk_timeout": "Pass timeout=..., in seconds for each read, or first_token_timeout and total_timeout",
    "default_query": "The gateway reads no query",
    "disabled_params": "What is not set is not sent: leave the setting out, or give None in a call",
    "client": "Pass http_client=... to use a client of your own",
    "root_client": "Pass http_client=... to use a client of your own",
    "async_client": "Pass http_async_client=... to use a client of your own",
    "root_async_client": "Pass http_async_client=... to use a client of your own",
}
"""Settings of the OpenAI base class that mean nothing here, with what to do instead."""

_FOREIGN = {
    "additional_kwargs": "Pass extra_body={...} for request fields",
    "api_base": "Pass base_url=..., or set KILOCODE_BASE_URL",
    "async_http_client": "Pass http_async_client=...",
    "extra_headers": "Headers belong to a model: default_headers={...}, also in model_copy(update=...)",
    "headers": "Headers belong to a model: default_headers={...}, also in model_copy(update=...)",
    "http_async": "Pass http_async_client=...",
    "proxies": "Pass http_client=httpx.Client(proxy=...) and http_async_client=...",
    "proxy": "Pass http_client=httpx.Client(proxy=...) and http_async_client=...",
    "verify": "Pass http_client=httpx.Client(verify=...) and http_async_client=...",
}
"""Names that other libraries have for settings, with ours."""

NOT_HERE = frozenset(_NOT_HERE)

check_names = told_to_langchain(wire.check_names)


@told_to_langchain
def check_values(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse a value that the gateway cannot use. A schema may be a class here.

    Raises:
        ConfigurationError: With what was expected.

    """
    wire.check_values({name: value for name, value in given.items() if name != "response_format"}, where=where)


def check_own_values(made: type, given: Mapping[str, Any]) -> None:
    """Do what `check_values` does, for the settings of a model of this class, those in `model_kwargs` included."""
    check_values({**given, **further_settings(given)}, where=f"{made.__name__} cannot take these settings")


def further_settings(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what stands in `model_kwargs`.

    Raises:
        ConfigurationError: If that is no dict.

    """
    further = given.get("model_kwargs")
    if further is not None and not isinstance(further, Mapping):
        msg = f"model_kwargs must be a dict of request fields, got {type(further).__name__}."
        raise ConfigurationError(msg)
    return further or {}


def refuse_openai_settings(given: dict[str, Any]) -> None:
    """Refuse a setting that the base class would take and nothing here would act on.

    Raises:
        ConfigurationError: With what to do instead.

    """
    for name, advice in _NOT_HERE.items():
        if given.get(name):
            msg = f"ChatKiloCode does not use {name!r}. {advice}."
            raise ConfigurationError(msg)


def refuse_foreign_names(given: Iterable[str], *, where: str) -> None:
    """Refuse a name that another library has for a setting.

    Raises:
        UnknownSettingError: With the name that it has here.

    """
    for name in given:
        if name in _FOREIGN:
            msg = f"{where} has no setting {name!r}. {_FOREIGN[name]}."
            raise UnknownSettingError(msg)


def check_call(model: BaseModel, given: Mapping[str, Any]) -> None:
    """Check the names that a call gives to a model, and the values.

    Raises:
        UnknownSettingError: If a name is no request field; with what to do instead.
        ConfigurationError: If a value cannot be used.

    """
    made = type(model)
    where = made.__name__
    if unknown := [name for name in given if name not in wire.NAMES and name not in CALL_NAMES]:
        refuse_openai_settings({name: given[name] for name in unknown})
        settings = {*made.model_fields, *(field.alias for field in made.model_fields.values())}
        for name in unknown:
            if name in settings:
                msg = (
                    f"{where}: {name!r} is a setting of the model, not of a call: "
                    f"give it to {where}(...), or model_copy(update={{{name!r}: ...}})."
                )
                raise UnknownSettingError(msg)
        refuse_foreign_names((name for name in unknown if name != "additional_kwargs"), where=f"A call of {where}")
        check_names(unknown, CALL_NAMES, where=where)
    check_values(given, where=where)
