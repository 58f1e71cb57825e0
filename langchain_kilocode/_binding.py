"""What a chat model can be bound to: request fields, tools, and a schema that its answers fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from langchain_core.language_models import LanguageModelInput  # noqa: TC002 - see ToolLike
from langchain_core.messages import AIMessage  # noqa: TC002
from langchain_core.runnables import Runnable  # noqa: TC002
from langchain_core.tools import BaseTool

from kilocode_gateway import wire
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.options import CallOptions
from langchain_kilocode import _structured
from langchain_kilocode._fields import GatewayChatModel
from langchain_kilocode._settings import check_call
from langchain_kilocode._tools import to_choice, to_tools
from langchain_kilocode._typed import BindSettings, BindToolsSettings, StructuredSettings  # noqa: TC001 - see ToolLike
from langchain_kilocode.errors import ConfigurationError, told_to_langchain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.messages import AIMessageChunk
    from langchain_core.runnables import RunnableConfig

    from langchain_kilocode._typed import CallSettings

T = TypeVar("T")

# Not for type checkers alone: `with_fallbacks` reads the methods' annotations, to see which give a runnable.
ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool


class BindableChatModel(GatewayChatModel):
    """A chat model on the gateway that takes tools and schemas."""

    # A call refuses other settings than these, so each says less than the framework's own.
    if TYPE_CHECKING:

        def invoke(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002 - the framework's name
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[CallSettings],
        ) -> AIMessage: ...
        async def ainvoke(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[CallSettings],
        ) -> AIMessage: ...
        def stream(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[CallSettings],
        ) -> Iterator[AIMessageChunk]: ...
        def astream(  # type: ignore[override]
            self,
            input: LanguageModelInput,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[CallSettings],
        ) -> AsyncIterator[AIMessageChunk]: ...

    @told_to_langchain
    def bind(self, **kwargs: Unpack[BindSettings]) -> Runnable[LanguageModelInput, AIMessage]:  # type: ignore[override]
        """Give this model with request fields set for every call.

        `metadata` is sent as the gateway's, although a call's own `metadata=` is LangChain's.

        Raises:
            UnknownSettingError: If a name is no request field.

        """
        check_call(self, kwargs)
        if (labels := kwargs.pop("metadata", None)) is not None:
            kwargs["extra_body"] = wire.merge({"metadata": labels}, kwargs.get("extra_body") or {})
        return super().bind(**kwargs)

    @told_to_langchain
    def bind_tools(  # type: ignore[override]
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Unpack[BindToolsSettings],
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give this model with tools that it may call.

        Args:
            tools: Functions, Pydantic classes, TypedDicts, LangChain tools, JSON schemas, or a provider's own tools as
                dicts, such as `{"type": "openrouter:web_search"}`, which go out as they are.
            tool_choice: `auto`, `none`, `any`, `required` or True for at least one call, a tool's name, or the wire's
                dict.
            strict: Whether arguments must follow the schema exactly. Not sent unless given, and not for the tools when
                `response_format` is given: agents of LangChain ask for it there, and most upstreams do not know it.
            parallel_tool_calls: Whether several tools may be called at once. Not sent unless given.
            response_format: A schema for answers that call no tool.
            kwargs: Further request fields.

        Raises:
            ConfigurationError: If a tool is nothing that a tool can be made of, or `tool_choice` is none of them.
            UnknownSettingError: If a further name is no request field.

        """
        call: dict[str, Any] = {**kwargs}
        if response_format is not None:
            call["response_format"] = _structured.response_format(response_format)
            strict = None
        formatted = to_tools(tools, strict)
        if parallel_tool_calls is not None:
            call["parallel_tool_calls"] = parallel_tool_calls
        if tool_choice:
            call["tool_choice"] = to_choice(tool_choice, formatted)
        if formatted:
            # Some upstreams refuse an empty list.
            call["tools"] = formatted
        return self.bind(**call)

    @overload  # type: ignore[override]
    def with_structured_output(
        self,
        schema: type[T],
        *,
        method: _structured.Method | None = None,
        include_raw: Literal[False] = False,
        strict: bool | None = None,
        tools: None = None,
        **kwargs: Unpack[StructuredSettings],
    ) -> Runnable[LanguageModelInput, T]: ...
    @overload
    def with_structured_output(
        self,
        schema: type[T],
        *,
        method: _structured.Method | None = None,
        include_raw: Literal[False] = False,
        strict: bool | None = None,
        tools: list[Any],
        **kwargs: Unpack[StructuredSettings],
    ) -> Runnable[LanguageModelInput, T | None]: ...
    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: _structured.Method | None = None,
        include_raw: Literal[True],
        strict: bool | None = None,
        tools: list[Any] | None = None,
        **kwargs: Unpack[StructuredSettings],
    ) -> Runnable[LanguageModelInput, dict[str, Any]]: ...
    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: _structured.Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: list[Any] | None = None,
        **kwargs: Unpack[StructuredSettings],
    ) -> Runnable[LanguageModelInput, Any]: ...
    @told_to_langchain
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: _structured.Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: list[Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Give a runnable whose answers fill a schema.

        Args:
            schema: A Pydantic class or a dataclass (the answers are its objects), a TypedDict or a JSON schema (they
                are dicts).
            method: `function_calling`, `json_schema` or `json_mode`. Chosen, unless given, from what the catalog
                entries of the model and its `fallback_models` list: tools first, because the auto models and most
                providers know them. The list is fetched for it only where nothing at hand knows one of the models.
            include_raw: Give `{"raw", "parsed", "parsing_error"}`, and raise no error about the answer. In a stream,
                `raw` comes piece by piece and the rest at the end.
            strict: Whether the answer must follow the schema exactly. Not sent unless given.
            tools: Further tools that the model may call; with `json_schema` and `json_mode` only.
            kwargs: Further request fields.

        Raises:
            ConfigurationError: If the schema is missing or of no known form.
            AnswerTruncatedError: When the answer was cut at its token limit.
            AnswerRefusedError: When the model or a filter refused.
            StructuredOutputError: When the answer does not fill the schema. Each holds the answer in `text`.

        """
        method = self._structured_method(schema, method or ("json_schema" if tools else None), kwargs)
        kwargs["ls_structured_output_format"] = {
            "kwargs": {"method": method, "strict": strict},
            "schema": {} if schema is None else _structured.as_tool(schema),
        }
        if tools and method == "function_calling":
            msg = "with_structured_output takes tools with method='json_schema' or 'json_mode' only: leave method out."
            raise ConfigurationError(msg)
        parser = _structured.parser_for(schema, method, beside_tools=bool(tools))
        if method == "function_calling":
            llm = self.bind_tools([_structured.as_tool(schema, strict)], tool_choice=parser.tool_name, **kwargs)
        else:
            form = (
                {"type": "json_object"} if method == "json_mode" else _structured.response_format(schema, strict=strict)
            )
            llm = (
                self.bind_tools(tools or [], response_format=form, **kwargs)
                if tools
                else self.bind(response_format=form, **kwargs)
            )
        return _structured.with_raw(llm, parser) if include_raw else llm | parser

    def _structured_method(
        self, schema: object, method: _structured.Method | None, call: dict[str, Any]
    ) -> _structured.Method:
        if method is None:
            method = self._method_of_all({**self._default_params, **call})
        if method not in ("function_calling", "json_schema", "json_mode"):
            msg = f"method must be 'function_calling', 'json_schema' or 'json_mode', got {method!r}."
            raise ConfigurationError(msg)
        if schema is None and method != "json_mode":
            msg = f"with_structured_output(method={method!r}) needs a schema."
            raise ConfigurationError(msg)
        return method

    def _method_of_all(self, asked: dict[str, Any]) -> _structured.Method:
        """Choose the method by all models that may answer; the list is fetched only for one that nothing at hand knows.

        A wrong guess would be paid for.
        """
        models = [asked.get("model"), *CallOptions.read(asked).fallback_models]
        catalog = Catalog.at_hand(self.gateway_config)
        unknown = next((model for model in models if model not in catalog), None)
        if unknown is not None:
            catalog = Catalog.look(self.gateway_config, http_client=self.http_client, wanted=unknown)
        return _structured.choose_method(*(catalog.get(model) for model in models if model))
