"""Tool calling: what is asked for, and which calls of an answer a program may run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.bridge.pydantic_core import pydantic_core
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import AsyncBaseTool, ToolMetadata

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.loops import Unlisted
from kilocode_gateway.wire import schemas
from kilocode_gateway.wire.json_text import arguments_in
from llama_index_kilocode._replies import only_first_call
from llama_index_kilocode._structured import StructuredOutput

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from llama_index.core.base.llms.types import ChatResponseAsyncGen, ChatResponseGen
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.tools.types import BaseTool, ToolOutput

_CHOICES = ("auto", "none", "required")
_CUT = ("length", "content_filter")
"""Finish reasons after which the last call may have lost its arguments."""
_NOT_CALLED = " (not called: its arguments are no complete JSON object)"
"""What stands behind the name of a tool that must not run. Agents answer the model: Tool NAME not found."""


class ToolCalling(StructuredOutput):
    """Tool calling of `KiloCode`; see there."""

    def _prepare_chat_with_tools(  # noqa: PLR0917 - the base's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002
        allow_parallel_tool_calls: bool = False,  # noqa: ARG002 - held by trimming the answer: many models refuse the field
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        offered = (tool.metadata for tool in _checked(tools) if not isinstance(tool, _NotCalled))
        specs = [metadata.to_openai_tool(skip_length_check=True) for metadata in offered]
        if self.strict if strict is None else strict:
            specs = [_strict(spec) for spec in specs]
        choice = _tool_choice(tool_choice, required=tool_required) if specs else None
        return {"messages": messages, "tools": specs or None, "tool_choice": choice, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],  # noqa: ARG002
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else only_first_call(response)

    def stream_chat_with_tools(  # noqa: PLR0917 - the base's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Answer with tool calls, piece by piece; with the first call only, unless parallel ones are allowed."""
        responses = super().stream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, **kwargs
        )
        return responses if allow_parallel_tool_calls else _first_calls(responses)

    async def astream_chat_with_tools(  # noqa: PLR0917
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Do what `stream_chat_with_tools` does, without blocking the event loop."""
        responses = await super().astream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, **kwargs
        )
        return responses if allow_parallel_tool_calls else _afirst_calls(responses)

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,  # noqa: ARG002
    ) -> list[ToolSelection]:
        """Give the tool calls of a response, whole or still growing.

        A call whose arguments are no JSON object, or were cut, comes under another name, which no tool has: an agent
        then does not run the tool with what is left of them, tells the model, and the model can try again.

        Raises:
            ValueError: If there is none and `error_on_no_tool_call` is set.

        """
        calls = [
            (block.tool_call_id, block.tool_name, block.tool_kwargs)
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ] or [_legacy_call(call) for call in response.message.additional_kwargs.get("tool_calls") or ()]
        if not calls and error_on_no_tool_call:
            raise ValueError(
                f"Expected at least one tool call, got none: the model answered {response.message.content or ''!r}."
            )
        if response.delta is not None and "requested_model" not in response.additional_kwargs:
            return [_selection(id_, name, _arguments_so_far(given)) for id_, name, given in calls]
        cut = len(calls) - 1 if response.additional_kwargs.get("finish_reason") in _CUT else None
        return [
            _selection(id_, name, None if place == cut and not given else _arguments(given))
            for place, (id_, name, given) in enumerate(calls)
        ]

    def predict_and_call(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Let the model choose a tool, and call it."""
        return super().predict_and_call(self._callable(tools), *args, **kwargs)

    async def apredict_and_call(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Do what `predict_and_call` does, without blocking the event loop."""
        return await super().apredict_and_call(self._callable(tools), *args, **kwargs)

    def _callable(self, tools: Sequence[BaseTool]) -> list[BaseTool]:
        """Give the tools, and beside each what is called in its place when its arguments cannot be read."""
        refusals = [_NotCalled(tool.metadata.name) for tool in tools if self.metadata.is_function_calling_model]
        return [*tools, *refusals]


class _NotCalled(AsyncBaseTool):
    """What is called in place of a tool whose arguments cannot be read; the model is not told of it."""

    def __init__(self, name: str | None) -> None:
        self._metadata = ToolMetadata(description="", name=f"{name}{_NOT_CALLED}")

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:  # noqa: ARG002
        raise ValueError(f"The tool was {self._metadata.name}.")

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return self.call(*args, **kwargs)


def _selection(id_: str | None, name: str | None, arguments: dict[str, Any] | None) -> ToolSelection:
    if arguments is None:
        return ToolSelection(tool_id=id_ or "", tool_name=f"{name or ''}{_NOT_CALLED}", tool_kwargs={})
    return ToolSelection(tool_id=id_ or "", tool_name=name or "", tool_kwargs=arguments)


def _arguments(given: Any) -> dict[str, Any] | None:
    """Read a call's whole arguments; None if they are no object. No text and `null` stand for no arguments."""
    if isinstance(given, str):
        try:
            given = json.loads(arguments_in(given), strict=False)  # some models leave line breaks as they are
        except (ValueError, RecursionError):
            return None
    return dict(given or {}) if given is None or isinstance(given, dict) else None


def _arguments_so_far(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = pydantic_core.from_json(given or "{}", allow_partial="trailing-strings")
        except ValueError:
            return {}
    return dict(given) if isinstance(given, dict) else {}


def _legacy_call(call: Any) -> tuple[Any, Any, Any]:
    """Read a call from where LlamaIndex kept them before it had blocks: a dict, or an object of the openai package."""
    if not isinstance(call, dict):
        call = call.model_dump()
    function = call.get("function") or {}
    return call.get("id"), function.get("name"), function.get("arguments")


def _tool_choice(choice: str | dict[str, Any] | None, *, required: bool) -> str | dict[str, Any]:
    if choice is None:
        return "required" if required else "auto"
    if choice == "any":
        return "required"
    if isinstance(choice, str) and choice not in _CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


def _checked(tools: Any) -> Iterable[BaseTool]:
    """Give the tools back, once each is one."""
    given = tools if isinstance(tools, Iterable) and not isinstance(tools, str) else [tools]
    for tool in given:
        if not hasattr(tool, "metadata"):
            raise ConfigurationError(
                "tools must be a list of LlamaIndex's tools, such as [FunctionTool.from_defaults(function)], got "
                f"{tool!r}."
            )
    return given


def _strict(spec: dict[str, Any]) -> dict[str, Any]:
    function = spec["function"]
    return {**spec, "function": {**function, "strict": True, "parameters": schemas.strict(function["parameters"])}}


def _first_calls(responses: ChatResponseGen) -> Generator[ChatResponse, None, None]:
    with closing(responses):
        for response in responses:
            yield only_first_call(response)


async def _afirst_calls(responses: ChatResponseAsyncGen) -> AsyncGenerator[ChatResponse, None]:
    async with aclosing(Unlisted(responses)) as owned:
        async for response in owned:
            yield only_first_call(response)
