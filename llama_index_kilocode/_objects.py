"""Objects of a class: how a model is told of one, and how it is read from an answer, whole and while that grows."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.bridge.pydantic_core import pydantic_core
from llama_index.core.program.utils import create_flexible_model

from kilocode_gateway.errors import ConfigurationError, MalformedReplyError
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.wire import schemas
from kilocode_gateway.wire.json_text import arguments_in, json_in, misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSTRUCTION = (
    "Answer with one JSON object that is valid against this JSON schema, and with nothing else: no explanation, "
    "no code fence.\n{schema}"
)


class Wanted:
    """An object that is asked for.

    Args:
        output_cls: Its class.
        strict: Whether the model must keep to the schema exactly.

    Raises:
        ConfigurationError: If it is no class of pydantic's.

    """

    __slots__ = ("_name", "_schema", "_strict", "cls", "wrapped")

    def __init__(self, output_cls: Any, *, strict: bool = False) -> None:
        if not (isinstance(output_cls, type) and issubclass(output_cls, BaseModel)):
            raise ConfigurationError(f"The output class must be a class of pydantic's BaseModel, got {output_cls!r}.")
        schema, self.wrapped = schemas.as_object(output_cls.model_json_schema())
        self.cls = output_cls
        self._name = schemas.tool_name(str(schema.get("title") or output_cls.__name__))
        self._schema = schemas.strict(schema) if strict else schema
        self._strict = strict

    def response_format(self) -> dict[str, Any]:
        """Give the request field that asks for an answer by a schema."""
        form = {"name": self._name, "schema": self._schema}
        return {"type": "json_schema", "json_schema": {**form, "strict": True} if self._strict else form}

    def tool(self) -> dict[str, Any]:
        """Give the tool whose arguments are the object."""
        function: dict[str, Any] = {
            "name": self._name,
            "description": self._schema.get("description") or f"Give the answer as a {self.cls.__name__}.",
            "parameters": {name: value for name, value in self._schema.items() if name not in ("title", "description")},
        }
        return {"type": "function", "function": {**function, "strict": True} if self._strict else function}

    def instructed(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """Give the messages with the instruction at the end of the user's last one; those given stay as they are."""
        block = TextBlock(text=_INSTRUCTION.format(schema=json.dumps(self._schema, ensure_ascii=False)))
        changed = list(messages)
        for place in range(len(changed) - 1, -1, -1):
            if changed[place].role == MessageRole.USER:
                blocks = [*changed[place].blocks, block]
                changed[place] = changed[place].model_copy(update={"blocks": blocks})
                return changed
        return [*changed, ChatMessage(role=MessageRole.USER, blocks=[block])]

    def read(self, response: ChatResponse) -> Any:
        """Give the object that a whole answer holds.

        Raises:
            MalformedReplyError: If the answer was cut by its length limit or refused, holds no JSON, or does not fit
                the class. Its `text` is what came.

        """
        text, facts = _payload(response), response.additional_kwargs
        finish = facts.get("finish_reason")
        name = self.cls.__name__
        if facts.get("refusal") or finish == "content_filter":
            said = facts.get("refusal") or "the provider filtered the answer"
            why = f"The model refused to answer with a {name}: {said}."
        elif finish == "length":
            why = (
                f"The answer reached its length limit before the {name} was complete. Raise max_tokens, or ask for "
                "less."
            )
        elif not text.startswith(("{", "[")):
            why = (
                f"Expected a {name} as a tool call or as JSON, got {text[:200] or 'an empty answer'!r}. Choose a model "
                "with tool calling or structured output, or set is_function_calling_model=False to ask for JSON as "
                "text."
            )
        else:
            # The error is raised outside the handler: pydantic's own would be chained, with all the answer holds.
            try:
                return self.cls.model_validate_json(self._inside(text))
            except ValidationError as error:
                why = misfit(name, error.errors(include_url=False, include_context=False, include_input=False))
        raise OPENAI_ERRORS[MalformedReplyError](
            why, text=text, retryable=False, model=facts.get("model"), reason=finish
        )

    def _inside(self, text: str) -> str:
        """Give the object's own JSON, and mend what some models do: line breaks and tabs stand in strings as such."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            with suppress(ValueError, RecursionError):
                return json.dumps(self._taken_out(json.loads(text, strict=False)))
            return text
        return json.dumps(self._taken_out(data)) if self.wrapped else text

    def _taken_out(self, data: Any) -> Any:
        return schemas.unwrapped(data) if self.wrapped else data


class Partial:
    """Reads an object from a growing answer."""

    __slots__ = ("_flexible", "_last", "_wanted")

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._flexible = create_flexible_model(wanted.cls)
        self._last: Any = None

    def read(self, response: ChatResponse) -> Any:
        """Give the object as far as it has come, None when nothing new can be told.

        While fields are missing it is of a class with the same fields, all optional.
        """
        text, wrapped = _payload(response), self._wanted.wrapped
        if not text.startswith("{"):
            return None
        try:
            values = pydantic_core.from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        if wrapped:
            values = schemas.unwrapped(values)
        if not values or values == self._last:
            return None
        self._last = values
        try:
            return self._wanted.cls.model_validate(values)
        except ValueError:
            return None if wrapped else self._flexible.model_validate(values)


def _payload(response: ChatResponse) -> str:
    """Give the JSON text in which the object stands: the arguments of the first tool call, else the answer's text."""
    calls = response.message.additional_kwargs.get("tool_calls")
    if calls:
        return arguments_in(str(calls[0]["function"]["arguments"]))
    return json_in(response.message.content or "")
