"""Structured output: how the answer is asked for, and how it is read."""

from __future__ import annotations

import json
import re
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import AddableDict, Runnable, RunnableGenerator
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.json_schema import dereference_refs
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter

from kilocode_gateway.wire import schemas
from kilocode_gateway.wire.json_text import arguments_in, json_in, misfit
from langchain_kilocode._messages import RAW_ARGUMENTS
from langchain_kilocode.errors import (
    AnswerRefusedError,
    AnswerTruncatedError,
    ConfigurationError,
    StructuredOutputError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.outputs import Generation

    from kilocode_gateway.models import ModelInfo

Method = schemas.Method

_READY = {"name", "toolSpec", "function"}
"""What only a tool's definition has, and no JSON schema."""
_NO_LETTERS = re.compile(r"[^a-zA-Z0-9]")
_SHOWN = 200


def choose_method(*infos: ModelInfo | None) -> Method:
    """Choose how to ask for structured output, from what the catalog entries of all models that may answer say.

    Tools come first: they work through most providers, and through the auto models. Nothing known means tools, and so
    does nothing that all of them know.
    """
    return schemas.method_for(map(schemas.methods_of, infos)) or "function_calling"


def response_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Give the `response_format` for a schema in any form: Pydantic, TypedDict, JSON schema, or ready made.

    Args:
        schema: The schema.
        strict: Sent only when given: many providers behind the gateway do not know it.

    Raises:
        ConfigurationError: If the schema is of a form that cannot be sent.

    """
    if isinstance(schema, dict):
        if schema.get("type") in ("json_object", "text"):
            return schema
        if isinstance(schema.get("json_schema"), dict):
            named = dict(schema["json_schema"])
        elif "name" in schema and isinstance(schema.get("schema"), dict):
            named = dict(schema)
        else:
            named = _named_schema(schema, strict)
    else:
        named = _named_schema(schema, strict)
    if strict is not None:
        named["strict"] = strict
    return {"type": "json_schema", "json_schema": named}


def _named_schema(schema: Any, strict: bool | None) -> dict[str, Any]:
    function = as_tool(schema, strict)["function"]
    named = {"name": function["name"], "schema": function.get("parameters") or {"type": "object", "properties": {}}}
    if function.get("description"):
        named["description"] = function["description"]
    return named


def as_tool(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Give the tool that a schema becomes.

    Raises:
        ConfigurationError: If the schema is of a form that cannot be sent.

    """
    if isinstance(schema, dict):
        ready = schema.get("json_schema")
        inner = ready if isinstance(ready, dict) else schema
        if "name" in inner and isinstance(inner.get("schema"), dict):
            named = {name: inner[name] for name in ("name", "description", "strict") if name in inner}
            return {"type": "function", "function": {**named, "parameters": inner["schema"]}}
    try:
        tool = convert_to_openai_tool(_as_taken(schema))
    except (ValueError, TypeError) as exc:
        reason = str(exc)
    except RecursionError:
        reason = "a TypedDict that holds itself cannot be read. Make it a Pydantic class."
    else:
        function = {**tool["function"], "name": schemas.tool_name(tool["function"]["name"])}
        return {**tool, "function": function if strict is None else _with_strictness(function, strict)}
    msg = f"A schema must be a Pydantic class, a dataclass, a TypedDict or a JSON schema with a title: {reason}"
    raise ConfigurationError(msg)


def _with_strictness(function: dict[str, Any], strict: bool) -> dict[str, Any]:
    if function.get("strict", strict) != strict:
        msg = f"The schema says strict={function['strict']}, and the call strict={strict}: leave one of them out."
        raise ConfigurationError(msg)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return {**function, "parameters": schemas.strict(parameters) if strict else parameters, "strict": strict}


def _as_taken(schema: Any) -> Any:
    """Give a schema as LangChain turns it into a tool without loss.

    A dataclass it would read as a function, and lose what its fields say. Of a class that holds itself it would lose
    how, and what is no object it would send as it is.
    """
    made = _json_schema(schema)
    if made is None:
        return schema
    shaped = schemas.as_object(made)
    if isinstance(schema, dict) or shaped.wrapped or schemas.is_recursive(made):
        return shaped.schema
    if not is_dataclass(schema):
        return schema
    return {name: value for name, value in dereference_refs(made).items() if name != "$defs"}


def _json_schema(schema: Any) -> dict[str, Any] | None:
    """Give the JSON schema of a class, or a dict that is one; None where LangChain has to read it in its own way."""
    if isinstance(schema, dict):
        return schema if not _READY & set(schema) and {"title", "$ref"} & set(schema) else None
    if not isinstance(schema, type):
        return None
    if is_dataclass(schema):
        return {"title": schema.__name__, **TypeAdapter(schema).json_schema()}
    # A schema class of pydantic's version 1 has no model_json_schema.
    return schema.model_json_schema() if hasattr(schema, "model_json_schema") else None


def parser_for(schema: Any, method: Method, *, beside_tools: bool) -> SchemaParser:
    """Give the parser of answers that fill a schema."""
    if schema is None:
        return SchemaParser()
    function = as_tool(schema)["function"]
    made = isinstance(schema, type) and (is_basemodel_subclass(schema) or is_dataclass(schema))
    parameters = function.get("parameters") or {}
    known = _json_schema(schema)
    wrapped = known is not None and schemas.as_object(known).wrapped
    no_object = wrapped or parameters.get("type", "object") != "object"
    return SchemaParser(
        schema_class=schema if made else None,
        schema_name=function["name"],
        required=None if no_object else list(parameters.get("required") or ()),
        wrapped=wrapped,
        tool_name=function["name"] if method == "function_calling" else None,
        beside_tools=beside_tools,
    )


def with_raw(llm: Runnable[Any, Any], parser: SchemaParser) -> Runnable[Any, Any]:
    """Give the message beside what was read from it; an error in reading stands in the result and is not raised.

    In a stream the message comes piece by piece and what was read from it at the end, since the pieces of a stream are
    added up and objects cannot be.
    """

    def pieces(messages: Iterator[AIMessage]) -> Iterator[AddableDict]:
        whole: Any = None
        for message in messages:
            whole = message if whole is None else whole + message
            yield AddableDict(raw=message)
        yield _outcome(parser, whole)

    async def apieces(messages: AsyncIterator[AIMessage]) -> AsyncIterator[AddableDict]:
        whole: Any = None
        async for message in messages:
            whole = message if whole is None else whole + message
            yield AddableDict(raw=message)
        yield _outcome(parser, whole)

    return llm | RunnableGenerator(pieces, apieces, name="StructuredOutput")


def _outcome(parser: SchemaParser, message: AIMessage) -> AddableDict:
    try:
        parsed = parser.parse_result([ChatGeneration(message=message)])
    except Exception as error:  # noqa: BLE001 - a schema's own validators may raise anything
        return AddableDict(parsed=None, parsing_error=error)
    return AddableDict(parsed=parsed, parsing_error=None)


class SchemaParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads an answer that was asked to fill a schema, whole or while it arrives.

    It takes the tool call where there is one, else JSON from the text, in a code fence or prose or not.
    """

    schema_class: Any = None
    """The class to make: Pydantic's, of either version, or a dataclass; None gives what the JSON says."""
    schema_name: str = "JSON"
    """What the schema is called in errors."""
    required: list[str] | None = None
    """The fields that the object must have; None where the schema asks for no object."""
    wrapped: bool = False
    """Whether the schema asks for no object, and the answer comes inside of one."""
    tool_name: str | None = None
    """The tool that carries the answer; None reads the text."""
    beside_tools: bool = False
    """Whether the model may call other tools in place of answering; then nothing is read."""

    @property
    def _type(self) -> str:
        return "kilocode-schema"

    def parse(self, text: str) -> Any:
        """Read an answer that is text."""
        return self._checked(self._from_text(text), text)

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read a message, or the part of it that has arrived.

        Raises:
            AnswerRefusedError: If the model or a filter refused.
            AnswerTruncatedError: If the answer was cut at its token limit.
            StructuredOutputError: If it does not fill the schema.

        """
        message = cast("ChatGeneration", result[0]).message
        if not isinstance(message, AIMessage):
            return self.parse(str(message.text))
        text = _answer_text(message)
        finish = message.response_metadata.get("finish_reason")
        if finish is not None or not partial:
            self._check_end(message, finish, text)
        if self.beside_tools and message.tool_calls:
            return None
        calls = [call for call in message.tool_calls if self._is_mine(call["name"])]
        if partial and finish is None:
            return self._partial(calls, text)
        self._check_called(message, text)
        return self._checked(calls[0]["args"] if calls else self._from_text(text), text)

    def _partial(self, calls: list[Any], text: str) -> Any:
        if calls:
            data = calls[0]["args"]
        elif self.tool_name is not None:
            return None
        else:
            try:
                data = parse_partial_json(json_in(text))
            except (ValueError, RecursionError):
                return None
        if self.wrapped:
            data = schemas.unwrapped(data) or None
        if data is None or (self.required is not None and not isinstance(data, dict)):
            return None
        if self.schema_class is None:
            return data
        try:
            return _validated(self.schema_class, data)
        except Exception:  # noqa: BLE001 - it is not whole; its own validators may raise anything
            return None

    def _from_text(self, text: str) -> Any:
        try:
            return json.loads(json_in(text), strict=False)
        except (ValueError, RecursionError) as exc:
            reason = str(exc)
        wanted = f"a call of the tool {self.tool_name!r}" if self.tool_name else f"JSON for {self.schema_name}"
        shown = f"{text[:_SHOWN]!r}{'...' if len(text) > _SHOWN else ''}" if text else "nothing"
        msg = (
            f"The model was asked for {wanted} and answered {shown}, which cannot be read as one JSON object: {reason}."
        )
        raise StructuredOutputError(msg, text=text)

    def _checked(self, data: Any, text: str) -> Any:
        data = schemas.unwrapped(data) if self.wrapped else data
        if self.required is not None and not isinstance(data, dict):
            msg = f"The answer does not fit {self.schema_name}: expected a JSON object, got {text[:_SHOWN]!r}."
            raise StructuredOutputError(msg, text=text)
        if self.schema_class is None:
            missing = [name for name in self.required or () if name not in data]
            if missing:
                wrong = [{"loc": (name,), "msg": "Field required"} for name in missing]
                raise StructuredOutputError(misfit(self.schema_name, wrong), text=text)
            return data
        try:
            return _validated(self.schema_class, data)
        except (ValueError, TypeError) as exc:
            raise StructuredOutputError(misfit(self.schema_name, _wrong(exc)), text=text) from exc

    def _check_end(self, message: AIMessage, finish: str | None, text: str) -> None:
        refusal = message.additional_kwargs.get("refusal")
        if refusal or finish == "content_filter":
            why = f"The model refused to answer: {refusal}" if refusal else "A content filter stopped the answer."
            raise AnswerRefusedError(why, text=refusal or text)
        if finish == "length":
            msg = (
                f"The answer was cut at its token limit after {len(text):,} characters, so it does not fill "
                f"{self.schema_name}. Raise max_tokens, or ask for less. What had arrived is in the error's `text`."
            )
            raise AnswerTruncatedError(msg, text=text)

    def _check_called(self, message: AIMessage, text: str) -> None:
        """Refuse what was written for another tool, which may fit a schema of defaults; names may differ in letters."""
        others = [call["name"] for call in message.tool_calls if not self._is_mine(call["name"])]
        if others and len(others) == len(message.tool_calls):
            wanted = f"the tool {self.tool_name!r}" if self.tool_name else f"JSON for {self.schema_name}"
            msg = f"The model was asked for {wanted} and called {others[0]!r} instead. Ask again, or use another model."
            raise StructuredOutputError(msg, text=text)

    def _is_mine(self, name: str) -> bool:
        return self.tool_name is not None and _letters(name) == _letters(self.tool_name)


def _letters(name: str) -> str:
    return _NO_LETTERS.sub("", name).lower()


def _validated(cls: Any, data: Any) -> Any:
    if is_dataclass(cls):
        return TypeAdapter(cls).validate_python(data)
    # A schema class of pydantic's version 1 has no model_validate.
    return cls.model_validate(data) if hasattr(cls, "model_validate") else cls.parse_obj(data)


def _wrong(error: Exception) -> list[dict[str, Any]]:
    """Give what an error of either Pydantic says of each field, without what stood there."""
    errors = getattr(error, "errors", None)
    return list(errors()) if errors is not None else [{"loc": (), "msg": str(error)}]


def _answer_text(message: AIMessage) -> str:
    raw = message.additional_kwargs.get(RAW_ARGUMENTS)
    if raw:
        return arguments_in(str(next(iter(raw.values()))))
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"], ensure_ascii=False)
    if message.invalid_tool_calls:
        return arguments_in(message.invalid_tool_calls[0]["args"] or "")
    return str(message.text)
