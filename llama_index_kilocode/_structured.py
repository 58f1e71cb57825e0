"""Structured output: how a schema is asked for, how the answer is read, whole and while it streams."""

from __future__ import annotations

import functools
import inspect
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.types import PydanticProgramMode

from kilocode_gateway import usage
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.loops import Unlisted
from kilocode_gateway.options import CallOptions
from kilocode_gateway.wire import schemas
from llama_index_kilocode._base import GatewayLLM
from llama_index_kilocode._events import is_heard, predictions, unveiled, veiled
from llama_index_kilocode._objects import Partial, Wanted
from llama_index_kilocode._structured_llm import OF_THE_FRAMEWORK, Noting, StructuredKiloCode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.program.utils import FlexibleModel
    from llama_index.core.prompts import BasePromptTemplate

    from kilocode_gateway.models import ModelInfo


_P = ParamSpec("_P")
_Object = TypeVar("_Object")
_Model = TypeVar("_Model", bound="BaseModel")


def _discreet(predict: Callable[_P, _Object]) -> Callable[_P, _Object]:
    """Make a way of predicting whose span holds no secret. The framework's has the arguments of what it wraps."""
    spanned: Any = predictions.span(predict)

    # What is copied along is the mark by which the framework knows that a method has its span.
    if inspect.iscoroutinefunction(predict):

        @functools.wraps(predict)
        async def aouter(llm: Any, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
            return await spanned.__get__(llm, type(llm))(output_cls, prompt, _unseen(llm_kwargs), **prompt_args)

        return cast("Callable[_P, _Object]", aouter)

    @functools.wraps(predict)
    def outer(llm: Any, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        return spanned.__get__(llm, type(llm))(output_cls, prompt, _unseen(llm_kwargs), **prompt_args)

    return cast("Callable[_P, _Object]", outer)


def _unseen(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    return settings if settings is None or isinstance(settings, Noting) else veiled(settings)


@dataclass(slots=True)
class Ask:
    """A request for an object of a class."""

    messages: list[ChatMessage]
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Settings of the call."""


class StructuredOutput(GatewayLLM):
    """Structured output of `KiloCode`; see there."""

    def _ask(
        self, wanted: Wanted, prompt: BasePromptTemplate, given: dict[str, Any] | None, args: dict[str, Any]
    ) -> Ask:
        """Decide how the object is asked for: by a required tool call, else by schema, else by an instruction."""
        kwargs = _settings(given)
        models = self._models(kwargs)
        catalog = None
        if self._method_set(models) is None:
            at_hand = Catalog.at_hand(self._config())
            catalog = self._look(next((model for model in models if model not in at_hand), None))
        return self._asked_by(self._method(models, catalog), wanted, self._messages(prompt, args), kwargs)

    async def _aask(
        self, wanted: Wanted, prompt: BasePromptTemplate, given: dict[str, Any] | None, args: dict[str, Any]
    ) -> Ask:
        """Do what `_ask` does, without blocking the event loop; it waits for the catalog only where nothing is at hand.

        A wrong guess would be paid for.
        """
        kwargs = _settings(given)
        models = self._models(kwargs)
        catalog = None
        if self._method_set(models) is None:
            catalog = self._look(None)
            if any(model not in catalog for model in models):
                client = self._link.http_async_client
                catalog = await Catalog.adiscover(config=self._config(), http_async_client=client)
        return self._asked_by(self._method(models, catalog), wanted, self._messages(prompt, args), kwargs)

    def _messages(self, prompt: BasePromptTemplate, args: dict[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **args))

    def _models(self, call: dict[str, Any]) -> list[str]:
        """List the models that may answer: the one that is asked, and those that may stand in for it."""
        options = CallOptions.read({"fallback_models": self._asked("fallback_models", call)})
        return [self._asked("model", call), *options.fallback_models]

    def _method_set(self, models: list[str]) -> schemas.Method | None:
        """Give the method where the user's settings say it all, and the catalog is of no use."""
        if self.pydantic_program_mode == PydanticProgramMode.FUNCTION:
            return "function_calling"
        if self.should_use_structured_outputs:
            return "json_schema"
        alone = models == [self._asked("model")] and self.pydantic_program_mode == PydanticProgramMode.DEFAULT
        return "function_calling" if alone and self.is_function_calling_model else None

    def _method(self, models: list[str], catalog: Catalog | None) -> schemas.Method | None:
        """Choose the best method that all the models know; None where there is none."""
        if catalog is None:
            return self._method_set(models)
        return schemas.method_for(self._known_by(model, catalog.get(model)) for model in models)

    def _known_by(self, model: str, info: ModelInfo | None) -> tuple[schemas.Method, ...]:
        is_unknown = info is None or not info.supported_parameters
        methods = schemas.methods_of(info)
        calls_tools = "function_calling" in methods
        if self.is_function_calling_model is not None and (is_unknown or model == self._asked("model")):
            calls_tools = self.is_function_calling_model
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            calls_tools = False
        if is_unknown and not calls_tools:
            return ()
        others = tuple(method for method in methods if method != "function_calling")
        return ("function_calling", *others) if calls_tools else others

    @staticmethod
    def _asked_by(
        method: schemas.Method | None, wanted: Wanted, messages: list[ChatMessage], kwargs: dict[str, Any]
    ) -> Ask:
        choice = kwargs.pop("tool_choice", None)
        if method == "function_calling":
            return Ask(messages, {**kwargs, "tools": [wanted.tool()], "tool_choice": choice or "required"})
        if method == "json_schema":
            kwargs.setdefault("response_format", wanted.response_format())
            return Ask(messages, kwargs)
        if method == "json_mode":
            kwargs.setdefault("response_format", {"type": "json_object"})
        return Ask(wanted.instructed(messages), kwargs)

    @_discreet
    def structured_predict(
        self,
        output_cls: type[_Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Model:
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
        response = self.chat(ask.messages, **ask.kwargs)
        Noting.note(llm_kwargs, response)
        made: _Model = wanted.read(response)
        return _ended(made)

    @_discreet
    async def astructured_predict(
        self,
        output_cls: type[_Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Model:
        """Do what `structured_predict` does, without blocking the event loop."""
        wanted = Wanted(output_cls, strict=self.strict)
        _started(output_cls, prompt, prompt_args)
        ask = await self._aask(wanted, prompt, llm_kwargs, prompt_args)
        response = await self.achat(ask.messages, **ask.kwargs)
        Noting.note(llm_kwargs, response)
        made: _Model = wanted.read(response)
        return _ended(made)

    @_discreet
    def stream_structured_predict(
        self,
        output_cls: type[_Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[_Model | FlexibleModel, None, None]:
        """Ask for an object of a class, and give it as it grows; the last one is whole."""
        objects = self._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return _told(objects, (output_cls, prompt, prompt_args)) if is_heard(predictions) else objects

    @_discreet
    async def astream_structured_predict(
        self,
        output_cls: type[_Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[_Model | FlexibleModel, None]:
        """Do what `stream_structured_predict` does, without blocking the event loop."""
        objects = await self._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return _atold(objects, (output_cls, prompt, prompt_args)) if is_heard(predictions) else objects

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        wanted, asked_in = Wanted(output_cls, strict=self.strict), usage.active()

        def pieces() -> Generator[Any, None, None]:
            ask = self._ask(wanted, prompt, llm_kwargs, prompt_args)
            partial, response, made = Partial(wanted), None, None
            with usage.counting_in(asked_in):
                responses = self.stream_chat(ask.messages, **ask.kwargs)
            with closing(responses):
                for response in responses:
                    if (new := partial.read(response)) is not None:
                        made = new
                        yield made
            if response is None:
                return
            Noting.note(llm_kwargs, response)
            if (whole := wanted.read(response)) != made:
                yield whole

        return pieces()

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        wanted, asked_in = Wanted(output_cls, strict=self.strict), usage.active()

        async def pieces() -> AsyncGenerator[Any, None]:
            ask = await self._aask(wanted, prompt, llm_kwargs, prompt_args)
            partial, response, made = Partial(wanted), None, None
            with usage.counting_in(asked_in):
                responses = await self.astream_chat(ask.messages, **ask.kwargs)
            async with aclosing(Unlisted(responses)) as owned:
                async for response in owned:
                    if (new := partial.read(response)) is not None:
                        made = new
                        yield made
            if response is None:
                return
            Noting.note(llm_kwargs, response)
            if (whole := wanted.read(response)) != made:
                yield whole

        return pieces()

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredKiloCode:
        """Give an LLM whose answers are objects of a class: each response's `raw`, with usage and cost beside it."""
        return StructuredKiloCode(llm=self, output_cls=output_cls, **kwargs)


def _settings(given: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in unveiled(given or {}).items() if name not in OF_THE_FRAMEWORK}


def _started(output_cls: type[BaseModel], prompt: BasePromptTemplate, args: dict[str, Any]) -> None:
    predictions.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=args))


def _ended(result: _Object) -> _Object:
    predictions.event(LLMStructuredPredictEndEvent(output=result))
    return result


def _told(objects: Generator[Any, None, None], asked: tuple[Any, Any, Any]) -> Generator[Any, None, None]:
    """Give the objects, and tell of them what the framework tells."""
    _started(*asked)
    made = None
    with closing(objects):
        for made in objects:
            predictions.event(LLMStructuredPredictInProgressEvent(output=made))
            yield made
    _ended(made)


async def _atold(objects: AsyncGenerator[Any, None], asked: tuple[Any, Any, Any]) -> AsyncGenerator[Any, None]:
    _started(*asked)
    made = None
    async with aclosing(Unlisted(objects)) as owned:
        async for made in owned:
            predictions.event(LLMStructuredPredictInProgressEvent(output=made))
            yield made
    _ended(made)
