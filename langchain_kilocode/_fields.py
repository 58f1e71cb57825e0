"""The settings of `ChatKiloCode`: fields, their checks, and what copies, pickles and serialized forms carry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from langchain_core.utils import get_pydantic_field_names
from pydantic import Field, PrivateAttr, SecretStr, model_validator

from kilocode_gateway import __version__, wire
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.hidden import SECRETS
from kilocode_gateway.options import CallOptions
from kilocode_gateway.request_types import Mode, Verbosity
from langchain_kilocode._connection import Carried, Headers, Memory, hide_secrets
from langchain_kilocode._profile import to_profile
from langchain_kilocode._settings import (
    NOT_HERE,
    REQUEST_FIELDS,
    ProviderRouting,
    Reasoning,
    check_names,
    check_own_values,
    further_settings,
    refuse_foreign_names,
    refuse_openai_settings,
)
from langchain_kilocode._traces import TracedChatModel
from langchain_kilocode.errors import ConfigurationError

_ALIASES = {"model": "model_name", "timeout": "request_timeout", "stop_sequences": "stop"}


class GatewayChatModel(Carried, TracedChatModel):
    """The settings of a chat model on the gateway. Nothing here opens a connection."""

    model_name: str = Field(default="kilo/auto", alias="model")
    """The model, in any reference form: `kilo/auto`, `vendor/model`, `kilocode/vendor/model`."""
    api_key: SecretStr | str | Callable[[], str] | None = None
    """The gateway's key, kept as a `SecretStr`; or a function that gives it, asked for each request, so it should be
    quick. Without one: `KILOCODE_API_KEY`, then `KILO_API_KEY`, read when the model is made and never stored here, so
    it travels with no copy. With none at all only free models answer."""
    base_url: str | None = None
    """The gateway's address. Without one: `KILOCODE_BASE_URL`, then `https://api.kilo.ai/api/gateway/`."""
    organization_id: str | None = None
    """The organization that is billed. Without one: `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program. Without one: `KILOCODE_FEATURE`."""
    request_timeout: float | tuple[float, float] | Any | None = Field(default=600.0, alias="timeout")
    """Seconds for each read, a pair (connect, read), an httpx `Timeout`, or None for no limit."""
    max_retries: int | None = 2
    """Attempts after the first, for errors that may pass."""
    first_token_timeout: float | None = None
    """Seconds until something of a streamed answer must be here, counted from the call: retries, waits and all
    `fallback_models` share them.
    It holds although the gateway sends keep-alive comments, which a read's `timeout` never sees the end of. An answer
    that comes whole has `total_timeout`."""
    total_timeout: float | None = None
    """Seconds until the answer must be complete, counted from the call: retries, waits and all `fallback_models` share
    them."""
    default_headers: Headers | None = Field(default=None, exclude=True, repr=False)
    """Further headers for each request. They may hold secrets, so they are neither shown nor serialized."""
    http_client: Any | None = Field(default=None, exclude=True, repr=False)
    """A client of httpx or httpx2 to use instead of the shared one. It is never closed here."""
    http_async_client: Any | None = Field(default=None, exclude=True, repr=False)
    """The same for async calls."""

    fallback_models: list[str] | None = None
    """Models to ask, in this order, when the one before fails: its provider is down or overloaded, or it is retired.
    Only before the first token. `response_metadata` then has `fallback_model`, the one that was asked in the end, and
    `failed_models`. It is done here: the gateway deletes OpenRouter's `models` list (server source, 2026)."""
    check_inputs: bool = True
    """Whether images, audio and video are refused, before anything is sent, where the model takes none by the gateway's
    list. A conversation that holds some has the list fetched, once per process, where nothing at hand knows the model.
    What is not certain is sent: files, auto models, models that the list does not know."""
    mode: Mode | None = None
    """What the request is for, such as `plan` or `code`: the hint by which `kilo-auto/frontier`, and older gateways'
    `kilo/auto`, choose between models. Sent as the header `x-kilocode-mode` (server source, 2026)."""
    task_id: str | None = None
    """The conversation's name. Requests with the same one go to the same provider and share its prompt cache. Sent as
    the header `X-KILOCODE-TASKID`; the gateway then overwrites `prompt_cache_key` (server source, February 2026)."""
    provider: ProviderRouting | None = None
    """Which providers may serve. Settings of a call are merged into it, key by key."""
    reasoning: Reasoning | None = None  # type: ignore[assignment]  # a closer type than the base's dict
    """How much the model thinks; sent as it is. The auto models decide it themselves."""
    verbosity: Verbosity | None = None
    """How long the answer is: low, medium or high, on Claude also xhigh and max. The auto models decide it themselves
    (server source, November 2026)."""
    transforms: list[str] | None = None
    """The upstream router's prompt transforms, such as `middle-out`. Relayed by the gateway (server source, 2026)."""
    plugins: list[dict[str, Any]] | None = None
    """The upstream router's plugins, such as `{"id": "web"}`. Relayed untouched, so they work where the upstream is
    OpenRouter (inferred: the server sources of 2026 do not mention them)."""
    top_k: int | None = None
    """How many tokens are considered at each step."""
    min_p: float | None = None
    """From 0 to 1: the least probability of a token, relative to the likeliest."""
    top_a: float | None = None
    """From 0 to 1: drops tokens far less likely than the likeliest."""
    repetition_penalty: float | None = None
    """From 0 to 2: makes repeated words less likely."""

    # What the base class reads from OPENAI_* or sends to OpenAI only.
    openai_api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    openai_api_base: str | None = Field(default=None, exclude=True, repr=False)
    openai_organization: str | None = Field(default=None, exclude=True, repr=False)
    openai_proxy: str | None = Field(default=None, exclude=True, repr=False)
    stream_chunk_timeout: float | None = Field(default=None, exclude=True, repr=False)

    _memory: Memory = PrivateAttr(default_factory=Memory)

    @model_validator(mode="before")
    @classmethod
    def build_extra(cls, values: dict[str, Any]) -> Any:
        """Refuse what nothing knows, and keep request fields that are no fields of the class in `model_kwargs`."""
        values = dict(values)
        hide_secrets(values)
        further = further_settings(values)
        refuse_openai_settings(values)
        fields = get_pydantic_field_names(cls)
        given = {
            **further,
            **{name: value for name, value in values.items() if name not in fields},
        }
        kept = {name: value for name, value in values.items() if name in fields and name not in NOT_HERE}
        CallOptions.read({**values, **given})
        refuse_openai_settings(given)
        refuse_foreign_names(given, where=cls.__name__)
        check_names((name for name in given if name not in fields), fields - NOT_HERE, where=cls.__name__)
        kept.update({name: value for name, value in given.items() if name in fields})
        kept["model_kwargs"] = {name: value for name, value in given.items() if name not in fields}
        return kept

    @model_validator(mode="before")
    @classmethod
    def validate_temperature(cls, values: dict[str, Any]) -> Any:
        """Leave the temperature as the user set it; the base class drops it for some model names."""
        return values

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Check the settings and read the environment. Takes the base class's place, which would read `OPENAI_*`."""
        check_own_values(type(self), self._default_params)
        if self.n is not None and self.n > 1 and self.streaming:
            msg = f"n must be 1 when streaming, got {self.n}."
            raise ConfigurationError(msg)
        self._transport()
        return self

    @model_validator(mode="after")
    def _leave_profile_open(self) -> Self:
        """Forget the base class's None, so that the first reading computes the profile."""
        if self.__dict__.get("profile") is None:
            self.__dict__.pop("profile", None)
            self.__pydantic_fields_set__.discard("profile")
        return self

    @model_validator(mode="after")
    def _set_kilocode_version(self) -> Self:
        self._add_version("kilocode-gateway", __version__)
        return self

    def _use_responses_api(self, payload: dict[str, Any]) -> bool:  # noqa: ARG002 - the base class's signature
        return False

    @property
    def _default_params(self) -> dict[str, Any]:
        set_fields = {name: value for name in REQUEST_FIELDS if (value := getattr(self, name)) is not None}
        if self.check_inputs:  # as ever, so traces and caches need not know
            set_fields.pop("check_inputs", None)
        stop = {"stop": self.stop} if self.stop else {}
        return {"model": self.model_name, **set_fields, **stop, **self.model_kwargs}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Compute `profile` when it is first read; it is the one field that may be missing."""
            return self._computed_profile() if name == "profile" else super().__getattr__(name)

    def _computed_profile(self) -> dict[str, Any]:
        config = self.gateway_config
        known = self._memory.profile
        if known is not None and known[0] == self.model_name and known[1] == config:
            return known[2]
        catalog = Catalog.look(config, http_client=self.http_client)
        info = catalog.get(self.model_name)
        profile = {} if info is None else to_profile(info, catalog)
        if catalog.source in ("gateway", "cache") and profile:
            # Else not kept: what the gateway itself says may come later.
            self._memory.profile = (self.model_name, config, profile)
        return profile

    async def aload(self) -> Self:
        """Fetch the model list without blocking the event loop, so that `profile` is of this gateway and of now."""
        await Catalog.adiscover(config=self.gateway_config, http_async_client=self.http_async_client)
        self._memory.profile = None
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_serialized", None)
        if name in SECRETS:
            settings, value = {name: value}, None
            hide_secrets(settings)
            value = settings[name]
        check_own_values(type(self), {name: value})
        for changed, its in wire.with_consequences({_ALIASES.get(name, name): value}, self.__dict__).items():
            super().__setattr__(changed, its)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with some settings changed, under either of their names.

        Raises:
            UnknownSettingError: If a name is none of the class's fields.
            ConfigurationError: If a value cannot be used.

        """
        changes = {_ALIASES.get(name, name): value for name, value in (update or {}).items()}
        update = None  # it may hold the key, which no traceback should show
        hide_secrets(changes)
        refuse_openai_settings(changes)
        refuse_foreign_names(changes, where=type(self).__name__)
        check_names(
            (name for name in changes if name not in type(self).model_fields),
            type(self).model_fields,
            where=type(self).__name__,
        )
        check_own_values(type(self), changes)
        extra = {name: changes.pop(name) for name in list(changes) if name not in type(self).model_fields}
        if extra:
            changes["model_kwargs"] = {**self.model_kwargs, **further_settings(changes), **extra}
        return super().model_copy(update=wire.with_consequences(changes, self.__dict__), deep=deep)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # The environment may say which gateway it is, and headers and keys are no part of the serialized settings, so
        # those alone do not tell whose answer a cache holds.
        settings = super()._get_llm_string(stop=stop, **kwargs)
        config = self.gateway_config
        return f"{settings}---{json.dumps([*config.identity, config.asker(self.default_headers)])}"

    def __repr_args__(self) -> Any:
        """Show the model first, and nothing that the user did not set."""
        # A traceback with local variables also shows objects that are not made yet.
        if "model_name" not in self.__dict__:
            return
        yield "model", self.model_name
        if self.base_url is not None:
            yield "base_url", self.base_url
        for name, value in super().__repr_args__():
            if name == "metadata":
                shown = {key: said for key, said in (value or {}).items() if key != "lc_versions"}
                if shown:
                    yield name, shown
            elif name not in ("model_name", "base_url") and not (name == "model_kwargs" and not value):
                yield name, value

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key, which serialized forms name and do not hold."""
        return {"api_key": "KILOCODE_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Say yes: `dumps` and `load` work.

        `load` needs `valid_namespaces=["langchain_kilocode"]` and `allowed_objects=[ChatKiloCode]`, both.
        """
        return True
