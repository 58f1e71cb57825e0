"""Structured output: how a schema is asked for, how the answer is read, whole and while it streams."""

from __future__ import annotations

import json
import re
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.bridge.pydantic_core import pydantic_core
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.program.utils import create_flexible_model
from llama_index.core.types import PydanticProgramMode

from kilocode_gateway.errors import MalformedReplyError
from kilocode_gateway.loops import Unlisted
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.wire.json_text import json_in, misfit
from llama_index_kilocode._base import GatewayLLM
from llama_index_kilocode._events import is_heard, predictions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts import BasePromptTemplate

_INSTRUCTION = (
    "Answer with one JSON object that is valid against this JSON schema, and with nothing else: no explanation, "
    "no code fence.\n{schema}"
)
_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_NOT_ASKED_AGAIN = ("tool_required", "allow_parallel_tool_calls", "verbose")


@dataclass(slots=True)
class Ask:
    """A request for an object of a class."""

    messages: list[ChatMessage]
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Settings of the call."""


def instructed(messages: Sequence[ChatMessage], schema: dict[str, Any]) -> list[ChatMessage]:
    """Give the messages with the instruction at the end of the last one from the user; those given stay as they are."""
    block = TextBlock(text=_INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False)))
    changed = list(messages)
    for place in range(len(changed) - 1, -1, -1):
        if changed[place].role == MessageRole.USER:
            blocks = [*changed[place].blocks, block]
            changed[place] = changed[place].model_copy(update={"blocks": blocks})
            return changed
    return [*changed, ChatMessage(role=MessageRole.USER, blocks=[block])]


def response_format(output_cls: type[BaseModel], schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """Give the request field that asks for an answer by a schema."""
    form = {"name": _name(output_cls, schema), "schema": schema}
    return {"type": "json_schema", "json_schema": {**form, "strict": True} if strict else form}


def tool(output_cls: type[BaseModel], schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """Give the tool whose arguments are the object."""
    parameters = {name: value for name, value in schema.items() if name not in ("title", "description")}
    function: dict[str, Any] = {
        "name": _name(output_cls, schema),
        "description": schema.get("description") or f"Give the answer as a {output_cls.__name__}.",
        "parameters": {**parameters, "additionalProperties": False} if strict else parameters,
    }
    return {"type": "function", "function": {**function, "strict": True} if strict else function}


def _name(output_cls: type[BaseModel], schema: dict[str, Any]) -> str:
    return _NAME.sub("_", str(schema.get("title") or output_cls.__name__))


def _strict_json(text: str) -> str:
    """Mend what some models do: line breaks and tabs that stand in strings as they are."""
    try:
        json.loads(text)
    except ValueError:
        with suppress(ValueError):
            return json.dumps(json.loads(text, strict=False))
    return text


def payload(response: ChatResponse) -> str:
    """Give the JSON text in which the object stands: the arguments of the first tool call, else the answer's text."""
    calls = response.message.additional_kwargs.get("tool_calls")
    if calls:
        return str(calls[0]["function"]["arguments"]) or "{}"
    return json_in(response.message.content or "")


def read(response: ChatResponse, output_cls: type[BaseModel]) -> Any:
    """Give the object that a whole answer holds.

    Raises:
        MalformedReplyError: If the answer was cut by its length limit or refused, holds no JSON, or does not fit the
            class. Its `text` is what came.

    """
    text, facts = payload(response), response.additional_kwargs
    finish = facts.get("finish_reason")
    name = output_cls.__name__
    if facts.get("refusal") or finish == "content_filter":
        why = (
            f"The model refused to answer with a {name}: {facts.get('refusal') or 'the provider filtered the answer'}."
        )
    elif finish == "length":
        why = f"The answer reached its length limit before the {name} was complete. Raise max_tokens, or ask for less."
    elif not text.startswith(("{", "[")):
        why = (
            f"Expected a {name} as a tool call or as JSON, got {text[:200] or 'an empty answer'!r}. Choose a model "
            "with tool calling or structured output, or set is_function_calling_model=False to ask for JSON as text."
        )
    else:
        # The error is raised outside the handler: pydantic's own would be chained, with all that the answer holds.
        try:
            return output_cls.model_validate_json(_strict_json(text))
        except ValidationError as error:
            why = misfit(name, error.errors(include_url=False, include_context=False, include_input=False))
    raise OPENAI_ERRORS[MalformedReplyError](why, text=text, retryable=False, model=facts.get("model"), reason=finish)


class Partial:
    """Reads the object from a growing answer."""

    __slots__ = ("_cls", "_flexible", "_last")

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._cls = output_cls
        self._flexible = create_flexible_model(output_cls)
        self._last: Any = None

    def read(self, response: ChatResponse) -> Any:
        """Give the object as far as it has come, None when nothing new can be told.

        While fields are missing it is of a class with the same fields, all optional.
        """
        text = payload(response)
        if not text.startswith("{"):
            return None
        try:
            values = pydantic_core.from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(values, dict) or not values or values == self._last:
            return None
        self._last = values
        try:
            return self._cls.model_validate(values)
        except ValueError:
            return self._flexible.model_validate(values)


class StructuredOutput(GatewayLLM):
    """Structured output of `KiloCode`; see there."""

    def _ask(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        kwargs: dict[str, Any] | None,
        args: dict[str, Any],
    ) -> Ask:
        """Decide how the object is asked for: by a required tool call, else by schema, else by an instruction."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **args))
        kwargs = {name: value for name, value in (kwargs or {}).items() if name not in _NOT_ASKED_AGAIN}
        schema = output_cls.model_json_schema()
        if self._by_tool():
            choice = kwargs.pop("tool_choice", None) or "required"
            return Ask(
                messages, {**kwargs, "tools": [tool(output_cls, schema, strict=self.strict)], "tool_choice": choice}
            )
        kwargs.pop("tool_choice", None)
        info = self._info()
        if self.should_use_structured_outputs or (info is not None and info.supports_structured_output):
            kwargs.setdefault("response_format", response_format(output_cls, schema, strict=self.strict))
            return Ask(messages, kwargs)
        if info is not None and "response_format" in info.supported_parameters:
            kwargs.setdefault("response_format", {"type": "json_object"})
        return Ask(instructed(messages, schema), kwargs)

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
        _started(output_cls, prompt, prompt_args)
        ask = self._ask(output_cls, prompt, llm_kwargs, prompt_args)
        return _ended(read(self.chat(ask.messages, **ask.kwargs), output_cls))

    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Do what `structured_predict` does, without blocking the event loop."""
        _started(output_cls, prompt, prompt_args)
        ask = self._ask(output_cls, prompt, llm_kwargs, prompt_args)
        return _ended(read(await self.achat(ask.messages, **ask.kwargs), output_cls))

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
        ask = self._ask(output_cls, prompt, llm_kwargs, prompt_args)
        partial, response, made = Partial(output_cls), None, None
        with closing(self.stream_chat(ask.messages, **ask.kwargs)) as responses:
            for response in responses:
                if (new := partial.read(response)) is not None:
                    made = new
                    yield made
        if response is not None and (whole := read(response, output_cls)) != made:
            yield whole

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        ask = self._ask(output_cls, prompt, llm_kwargs, prompt_args)

        async def pieces() -> AsyncGenerator[Any, None]:
            partial, response, made = Partial(output_cls), None, None
            async with aclosing(await self.astream_chat(ask.messages, **ask.kwargs)) as responses:
                async for response in Unlisted(responses):
                    if (new := partial.read(response)) is not None:
                        made = new
                        yield made
            if response is not None and (whole := read(response, output_cls)) != made:
                yield whole

        return pieces()


def _started(output_cls: type[BaseModel], prompt: BasePromptTemplate, args: dict[str, Any]) -> None:
    predictions.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=args),
    )


def _ended(result: Any) -> Any:
    predictions.event(LLMStructuredPredictEndEvent(output=result))
    return result
