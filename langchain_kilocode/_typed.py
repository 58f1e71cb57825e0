"""What editors and type checkers are told of the settings of the classes and of their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langchain_core.language_models.llms import BaseLLM

from kilocode_gateway.request_types import FIMSettings, RequestSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from typing import Unpack

    from langchain_core.caches import BaseCache
    from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
    from langchain_core.language_models import LanguageModelInput, ModelProfile
    from langchain_core.rate_limiters import BaseRateLimiter
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool
    from pydantic import SecretStr

    from kilocode_gateway.known_models import KnownEmbeddingModel, KnownFIMModel, KnownModel
    from kilocode_gateway.request_types import ProviderRouting


class _Connection(TypedDict, total=False):
    api_key: SecretStr | str | Callable[[], str] | None
    base_url: str | None
    organization_id: str | None
    feature: str | None
    timeout: Any
    request_timeout: Any
    max_retries: int | None
    default_headers: Mapping[str, str] | None
    http_client: Any
    http_async_client: Any


class _LangChain(TypedDict, total=False):
    name: str | None
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: list[BaseCallbackHandler] | BaseCallbackManager | None
    tags: list[str] | None
    metadata: dict[str, Any] | None
    custom_get_token_ids: Callable[[str], list[int]] | None


class BindToolsSettings(RequestSettings, total=False):
    """What `ChatKiloCode.bind_tools` takes beside tools."""

    model: KnownModel | str
    logit_bias: dict[int, int] | None
    metadata: dict[str, Any] | None
    n: int | None
    stop: str | list[str] | None
    stream_usage: bool | None
    top_logprobs: int | None


class StructuredSettings(BindToolsSettings, total=False):
    """What `ChatKiloCode.with_structured_output` takes beside the schema."""

    parallel_tool_calls: bool | None


class _Tools(TypedDict, total=False):
    parallel_tool_calls: bool | None
    response_format: dict[str, Any] | type | None
    tool_choice: dict[str, Any] | str | bool | None
    tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None


class CallSettings(RequestSettings, _Tools, total=False):
    """What a call of `ChatKiloCode` takes beside the messages and `stop`."""

    model: KnownModel | str
    logit_bias: dict[int, int] | None
    n: int | None
    stream_usage: bool | None
    top_logprobs: int | None


class BindSettings(BindToolsSettings, _Tools, total=False):
    """What `ChatKiloCode.bind` takes."""


class ChatSettings(CallSettings, _Connection, _LangChain, total=False):
    """What `ChatKiloCode` takes. Each is documented at the class and its fields."""

    model_name: KnownModel | str
    disable_streaming: bool | Literal["tool_calling"]
    model_kwargs: dict[str, Any]
    output_version: str | None
    profile: ModelProfile | None
    rate_limiter: BaseRateLimiter | None
    stop: str | list[str] | None
    stop_sequences: str | list[str] | None
    streaming: bool


class EmbeddingSettings(_Connection, total=False):
    """What `KiloCodeEmbeddings` takes. Each is documented at the class and its fields."""

    model: KnownEmbeddingModel | str
    dimensions: int | None
    chunk_size: int
    batch_size: int
    max_concurrency: int
    provider: ProviderRouting | None
    extra_body: dict[str, Any] | None


class FIMCallSettings(FIMSettings, total=False):
    """What a call of `KiloCodeFIM` takes beside the prompt and `stop`."""

    model: KnownFIMModel | str


class FIMClassSettings(FIMCallSettings, _Connection, _LangChain, total=False):
    """What `KiloCodeFIM` takes. Each is documented at the class and its fields."""

    stop: str | list[str] | None


if TYPE_CHECKING:

    class TypedLLM(BaseLLM):
        """LangChain's base of completion models, with the settings of our calls in place of any."""

        def invoke(  # type: ignore[override]  # other settings are refused
            self,
            input: LanguageModelInput,  # noqa: A002 - the base's name
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[FIMCallSettings],
        ) -> str: ...
        async def ainvoke(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[FIMCallSettings],
        ) -> str: ...
        def stream(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[FIMCallSettings],
        ) -> Iterator[str]: ...
        def astream(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[FIMCallSettings],
        ) -> AsyncIterator[str]: ...

else:
    TypedLLM = BaseLLM
