"""What `KiloCode` is made of, without its methods: settings, one request builder, metadata, copies and pickles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack, cast

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata, MessageRole
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.openai_like import OpenAILike

from kilocode_gateway import wire
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import hide_secrets
from kilocode_gateway.models import parse_model_ref
from kilocode_gateway.options import CallOptions
from llama_index_kilocode._checked import Checked
from llama_index_kilocode._events import unveiled
from llama_index_kilocode._link import Link, Seconds
from llama_index_kilocode._messages import to_wire
from llama_index_kilocode._settings import KiloCodeSettings, check_request, refuse_more_answers, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilocode_gateway.config import GatewayConfig
    from kilocode_gateway.transport import Transport

_LOG_PROBS = {"logprobs", "top_logprobs"}
"""Settings that go together."""
DEFAULT_MODEL = "kilo/auto"
FALLBACK_CONTEXT_WINDOW = 128_000
"""Tokens that a model is taken to hold when the catalog does not know it: what nearly all current models hold."""


class GatewayLLM(Checked, OpenAILike):
    """The settings of `KiloCode`; see there."""

    model: str = DEFAULT_MODEL
    """The model id as the gateway's list has it, such as `anthropic/claude-sonnet-4.6`. `kilo/auto` lets it choose."""
    api_key: str | Callable[[], str] | None = Field(default=None, exclude=True, repr=False)  # type: ignore[assignment]  # wider than the base
    """The key, if it was given by hand, or a function that gives it, asked for each request. One from
    `KILOCODE_API_KEY` or `KILO_API_KEY` is used but not stored here."""
    api_base: str | None = None
    """The gateway's address; filled from `KILOCODE_BASE_URL`, else the public gateway."""
    organization_id: str | None = None
    """The organization that pays and whose policy applies; filled from `KILOCODE_ORGANIZATION_ID` or `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program; filled from `KILOCODE_FEATURE`."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None  # type: ignore[assignment]  # wider than the base
    """From 0 to 2. None leaves it to the model: several refuse the parameter."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """The most tokens that an answer may have. None leaves it to the model; the catalog's limit is never sent."""
    top_p: float | None = None
    """From 0 to 1: the share of probability that is considered."""
    top_k: int | None = None
    """How many tokens are considered at each step."""
    min_p: float | None = None
    """From 0 to 1: the least probability of a token, relative to the likeliest."""
    seed: int | None = None
    """Makes the answer repeatable where the provider can."""
    stop: str | list[str] | None = None
    """Texts that end the answer."""
    frequency_penalty: float | None = None
    """From -2 to 2: makes repeated words less likely."""
    presence_penalty: float | None = None
    """From -2 to 2: makes words that occurred less likely."""
    repetition_penalty: float | None = None
    """From 0 to 2: makes repeated words less likely."""
    reasoning: dict[str, Any] | None = None
    """How much the model thinks: `effort`, `max_tokens`, `exclude`, `enabled`. The auto models ignore it."""
    reasoning_effort: str | None = None  # type: ignore[assignment]  # wider than the base
    """none, minimal, low, medium, high, xhigh or max: short for `reasoning={"effort": ...}`."""
    verbosity: str | None = None
    """How long the answer is: low, medium or high."""
    provider: dict[str, Any] | None = None
    """Which providers may serve: `order`, `only`, `ignore`, `sort`, `data_collection`, `zdr`, `require_parameters`."""
    transforms: list[str] | None = None
    """Prompt transforms, such as `["middle-out"]`."""
    plugins: list[dict[str, Any]] | None = None
    """Plugins of the upstream router, such as `[{"id": "web"}]`."""
    extra_body: dict[str, Any] | None = None
    """Fields of the request that only the gateway knows; merged in last, whatever their names."""
    timeout: Seconds = 600.0  # type: ignore[assignment]  # wider than the base
    """Seconds for each read, or (connect, read); None waits for ever."""
    first_token_timeout: float | None = None
    """Seconds until something of a streamed answer must be here, counted from the call, retries and waits included.
    It holds although the gateway sends keep-alive comments. An answer that comes whole has `total_timeout`."""
    total_timeout: float | None = None
    """Seconds until the answer must be complete, counted from the call, retries and waits included."""
    max_retries: Annotated[int, Field(ge=0)] = 2
    """Attempts after the first, for errors that may pass."""
    fallback_models: list[str] | None = None
    """Models to ask, in this order, when the one before fails: its provider is down or overloaded, or it is retired.
    Only before the first token. `additional_kwargs` of the response then has `fallback_model` and `failed_models`."""
    check_inputs: bool = True
    """Whether images, audio and video are refused, before anything is sent, where the model takes none by the gateway's
    list. A conversation that holds some has the list fetched, once per process, where nothing at hand knows the model;
    what is not certain is sent."""
    mode: str | None = None
    """What the request is for, such as `plan` or `code`: a hint for `kilo-auto/frontier` (server source, 2026)."""
    task_id: str | None = None
    """The conversation's name: requests with the same one share the provider's prompt cache (server source, 2026)."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers of each request. Not in `to_dict` and `repr`, as they may hold secrets."""
    context_window: Annotated[int, Field(gt=0)] | None = None  # type: ignore[assignment]  # wider than the base
    """Tokens that fit into the model. None asks the catalog, when `metadata` is first read."""
    is_function_calling_model: bool | None = None  # type: ignore[assignment]  # wider than the base
    """Whether the model calls tools. None asks the catalog, when `metadata` is first read."""
    should_use_structured_outputs: bool = False
    """Whether objects are asked for by JSON schema rather than by a tool call."""
    is_chat_model: bool = True
    """Always true: the gateway has no other endpoint."""
    reuse_client: bool = True
    """Without effect, taken because users of `OpenAILike` set it: HTTP clients are shared and never closed here."""
    api_version: str | None = None
    """Without effect, as the gateway has no versions: refused when given, dropped from dicts of other LLMs."""

    _link: Link = PrivateAttr()

    def __init__(self, model: str = DEFAULT_MODEL, **settings: Unpack[KiloCodeSettings]) -> None:
        hide_secrets(cast("dict[str, Any]", settings))
        # Not the base's constructor: it would look for OPENAI_* in the environment.
        self._settle(FunctionCallingLLM.__init__, {"model": model, **settings})
        self._client = self._aclient = self._http_client = self._async_http_client = None

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        fields = split(given, type(self).model_fields, self.__dict__.get("additional_kwargs"))
        if not fields.get("is_chat_model", True):
            raise ConfigurationError("The gateway has chat models only: leave is_chat_model out, or set it to True.")
        if fields.get("api_version") is not None:
            raise ConfigurationError("The gateway has no versions, so api_version has no effect. Leave it out.")
        if isinstance(fields.get("model"), str):
            parse_model_ref(fields["model"])
        refuse_more_answers(fields, where="KiloCode")
        CallOptions.read({**fields, **fields.get("additional_kwargs", {})})
        return fields

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Make an LLM of what `to_dict` gave; `kwargs` win over it."""
        known = {name: value for name, value in data.items() if name != "api_version"}
        return super().from_dict(known, **kwargs)

    @property
    def metadata(self) -> LLMMetadata:
        """What the framework wants to know of the model.

        The gateway's model list is fetched once per process, when this is first read, and renewed every six hours.
        Inside a running event loop that happens in the background; only for a model that nothing at hand knows the
        first reading holds the loop up, for at most two seconds. `await llm.aload()` before avoids even that.
        """
        return self._metadata(self._look(self._asked("model")))

    async def aload(self) -> None:
        """Fetch the gateway's model list, so that `metadata` is right from now on."""
        await Catalog.adiscover(config=self._config(), http_async_client=self._link.http_async_client)

    def to_payload(self) -> dict[str, Any]:
        """Give what events and callbacks may know of this LLM: its metadata as far as it is at hand, and no secret."""
        return {"class_name": self.class_name(), **self._metadata(Catalog.at_hand(self._config())).model_dump()}

    def _metadata(self, catalog: Catalog) -> LLMMetadata:
        model, more = self._asked("model"), self.additional_kwargs
        info = catalog.get(model)
        calls_tools = self.is_function_calling_model
        if calls_tools is None:
            calls_tools = info is None or info.supports_tools
        return LLMMetadata(
            context_window=self.context_window or (info and info.context_window) or FALLBACK_CONTEXT_WINDOW,
            num_output=more.get("max_tokens", more.get("max_completion_tokens", self.max_tokens)) or -1,
            is_chat_model=True,
            is_function_calling_model=calls_tools,
            model_name=model,
            system_role=MessageRole.SYSTEM,
        )

    def _asked(self, name: str, call: Mapping[str, Any] | None = None) -> Any:
        """Give a setting as a request would have it that begins now, of those that are no dicts."""
        for layer in (call or {}, self.additional_kwargs):
            if name in layer:
                return layer[name]
        return getattr(self, name)

    def _look(self, wanted: str | None) -> Catalog:
        return Catalog.look(self._config(), http_client=self._link.http_client, wanted=wanted)

    def _config(self) -> GatewayConfig:
        return self._link.config(self)

    def _transport(self, call: Mapping[str, Any] | None = None) -> Transport:
        return self._link.transport(self, call)

    def _request(self, messages: Sequence[ChatMessage], call: dict[str, Any]) -> tuple[Transport, dict[str, Any]]:
        """Build a request: the call's settings win over `additional_kwargs`, and those over the fields.

        Raises:
            UnknownSettingError: If the call has a setting that nothing knows, or that only the constructor takes.
            ConfigurationError: If a setting is no dict and must be one, or a block cannot be sent.

        """
        call = {name: value for name, value in unveiled(call).items() if name != "use_chat_completions"}
        check_request(call, where="KiloCode")
        body = wire.put_together(self._fields(), self.additional_kwargs, call)
        body = {name: value for name, value in body.items() if name not in ("extra_headers", "timeout")}
        if not body.get("tools"):
            body.pop("tools", None)
            body.pop("tool_choice", None)
        return self._transport({**self.additional_kwargs, **call}), {**body, "messages": to_wire(messages)}

    def _fields(self) -> dict[str, Any]:
        fields = {name: value for name in _SENT_FIELDS if (value := getattr(self, name)) is not None}
        fields["audio"] = self.audio_config
        if self.logprobs:
            fields |= {"logprobs": True, "top_logprobs": self.top_logprobs or None}
        return fields

    def _use_chat_completions(self, kwargs: dict[str, Any]) -> bool:  # noqa: ARG002 - the base's signature
        return True


_SENT_FIELDS = [
    "model",
    *(name for name in GatewayLLM.model_fields if name in (wire.NAMES.keys() - _LOG_PROBS) | {"extra_body"}),
]
"""The fields that the transport gets under their own names. None of them counts unless it is set."""

# The class that users make, so that an error about arguments names what they wrote.
GatewayLLM.__init__.__qualname__ = "KiloCode.__init__"
