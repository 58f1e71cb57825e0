"""Structured output: how a schema is asked for, how the answer is read, whole and while it streams."""

from __future__ import annotations

from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.types import PydanticProgramMode

from llama_index_kilocode._base import GatewayLLM
from llama_index_kilocode._events import is_heard, predictions
from llama_index_kilocode._objects import Partial, Wanted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts import BasePromptTemplate

_NOT_ASKED_AGAIN = ("tool_required", "allow_parallel_tool_calls", "verbose")


@dataclass(slots=True)
class Ask:
    """A request for an object of a class."""

    messages: list[ChatMessage]
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Settings of the call."""


class StructuredOutput(GatewayLLM):
    """Structured output of `KiloCode`; see there."""

    def _ask(
        self,
        wanted: Wanted,
        prompt: BasePromptTemplate,
        kwargs: dict[str, Any] | None,
        args: dict[str, Any],
    ) -> Ask:
        """Decide how the object is asked for: by a required tool call, else by schema, else by an instruction."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **args))
        kwargs = {name: value for name, value in (kwargs or {}).items() if name not in _NOT_ASKED_AGAIN}
        if self._by_tool():
            choice = kwargs.pop("tool_choice", None) or "required"
            return Ask(messages, {**kwargs, "tools": [wanted.tool()], "tool_choice": choice})
        kwargs.pop("tool_choice", None)
        info = self._info()
        if self.should_use_structured_outputs or (info is not None and info.supports_structured_output):
            kwargs.setdefault("response_format", wanted.response_format())
            return Ask(messages, kwargs)
        if info is not None and "response_format" in info.supported_parameters:
            kwargs.setdefault("response_format", {"type": "json_object"})
        return Ask(wanted.instructed(messages), kwargs)

    def _by_tool(self) -> bool:
        if self.pydantic_program_mode == PydanticProgramMode.FUNCTION:
            return True
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT or self.should_use_structured_outputs:
            return False
        return bool(self.metadata.is_function_calling_model)

    def structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Ask for an object of a class.

        Args:
            output_cls: The pydantic class; its docstring and field descriptions tell the model what is meant.
            prompt: The question.
            llm_kwargs: Settings of this call.
            prompt_args: What the prompt's placeholders stand for.

        Raises:
            MalformedReplyError: If the answer was cut by its length limit, was refused, holds no JSON, or does not fit
                the class; it says which fields are wrong, and its `text` is what came.

        """
        wanted = Wanted(output_cls, strict=self.strict)
        _started(output_cls, prompt, prompt_args)
        ask = self._ask(wanted, prompt, llm_kwargs, prompt_args)
        return _ended(wanted.read(self.chat(ask.messages, **ask.kwargs)))

    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Do what `structured_predict` does, without blocking the event loop."""
        wanted = Wanted(output_cls, strict=self.strict)
        _started(output_cls, prompt, prompt_args)
        ask = self._ask(wanted, prompt, llm_kwargs, prompt_args)
        return _ended(wanted.read(await self.achat(ask.messages, **ask.kwargs)))

    def stream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Ask for an object of a class, and give it as it grows; the last one is whole."""
        if is_heard(predictions):
            told = super().stream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return cast("Generator[Any, None, None]", told)
        return self._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    async def astream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Do what `stream_structured_predict` does, without blocking the event loop."""
        if is_heard(predictions):
            told = await super().astream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return cast("AsyncGenerator[Any, None]", told)
        return await self._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        wanted = Wanted(output_cls, strict=self.strict)
        ask = self._ask(wanted, prompt, llm_kwargs, prompt_args)
        partial, response, made = Partial(wanted), None, None
        with closing(self.stream_chat(ask.messages, **ask.kwargs)) as responses:
            for response in responses:
                if (new := partial.read(response)) is not None:
                    made = new
                    yield made
        if response is not None and (whole := wanted.read(response)) != made:
            yield whole

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        wanted = Wanted(output_cls, strict=self.strict)
        ask = self._ask(wanted, prompt, llm_kwargs, prompt_args)

        async def pieces() -> AsyncGenerator[Any, None]:
            partial, response, made = Partial(wanted), None, None
            async with aclosing(await self.astream_chat(ask.messages, **ask.kwargs)) as responses:
                async for response in responses:
                    if (new := partial.read(response)) is not None:
                        made = new
                        yield made
            if response is not None and (whole := wanted.read(response)) != made:
                yield whole

        return pieces()


def _started(output_cls: type[BaseModel], prompt: BasePromptTemplate, args: dict[str, Any]) -> None:
    predictions.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=args),
    )


def _ended(result: Any) -> Any:
    predictions.event(LLMStructuredPredictEndEvent(output=result))
    return result
