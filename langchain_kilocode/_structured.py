"""Structured output: how the answer is asked for, and how it is read."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ValidationError

from kilocode_gateway.errors import ConfigurationError
from langchain_kilocode.errors import AnswerRefusedError, AnswerTruncatedError, StructuredOutputError

if TYPE_CHECKING:
    from langchain_core.outputs import ChatGeneration, Generation

    from kilocode_gateway.models import ModelInfo

Method = Literal["function_calling", "json_schema", "json_mode"]


def choose_method(info: ModelInfo | None) -> Method:
    """Choose how to ask a model for structured output, from what its catalog entry says it takes.

    Tools come first: they work through most providers, and through the auto models. Nothing known means tools.
    """
    parameters = info.supported_parameters if info is not None else ()
    if not parameters or "tools" in parameters:
        return "function_calling"
    if "structured_outputs" in parameters:
        return "json_schema"
    return "json_mode" if "response_format" in parameters else "function_calling"


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
        return convert_to_openai_tool(schema, strict=strict)
    except (ValueError, TypeError) as exc:
        reason = str(exc)
    msg = f"A schema must be a Pydantic class, a TypedDict or a JSON schema with a title: {reason}"
    raise ConfigurationError(msg)


def tool_name(schema: Any) -> str:
    """Give the name of the tool that a schema becomes."""
    return cast("str", as_tool(schema)["function"]["name"])


def model_class(schema: Any) -> type[Any] | None:
    """Give the schema as a Pydantic class, if it is one."""
    return schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None


def with_raw(llm: Runnable[Any, Any], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Give the message beside what was read from it; an error in reading stands in the result and is not raised."""
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed: Runnable[Any, Any] = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class SchemaParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads an answer that was asked to fill a schema, whole or while it arrives.

    It takes the tool call where there is one, else JSON from the text, in a code fence or not.
    """

    schema_class: Any = None
    """The Pydantic class to make, of either version of Pydantic; None gives a dict."""
    tool_name: str | None = None
    """The tool that carries the answer; None reads the text."""

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
            _check_end(message, finish, text)
        calls = (
            [call for call in message.tool_calls if self.tool_name in (None, call["name"])] if self.tool_name else []
        )
        if partial and finish is None:
            return self._partial(calls, text)
        return self._checked(calls[0]["args"] if calls else self._from_text(text), text)

    def _partial(self, calls: list[Any], text: str) -> Any:
        if calls:
            data = calls[0]["args"]
        elif self.tool_name is not None:
            return None
        else:
            try:
                data = parse_json_markdown(text)
            except ValueError:
                return None
        if self.schema_class is None:
            return data
        try:
            return _validated(self.schema_class, data)
        except (ValidationError, ValueError, TypeError):
            return None

    def _from_text(self, text: str) -> Any:
        try:
            return parse_json_markdown(text, parser=lambda string: json.loads(string, strict=False))
        except ValueError as exc:
            reason = str(exc)
        wanted = f"a call of the tool {self.tool_name!r}" if self.tool_name else "JSON"
        msg = f"The model was asked for {wanted} and answered {text[:200]!r}, which cannot be read as JSON: {reason}."
        raise StructuredOutputError(msg, text=text)

    def _checked(self, data: Any, text: str) -> Any:
        if self.schema_class is None:
            return data
        try:
            return _validated(self.schema_class, data)
        except (ValidationError, ValueError, TypeError) as exc:
            msg = f"The answer does not fill {self.schema_class.__name__}: {exc}"
            raise StructuredOutputError(msg, text=text) from exc


def _validated(cls: Any, data: Any) -> Any:
    # A schema class of pydantic's version 1 has no model_validate.
    return cls.model_validate(data) if hasattr(cls, "model_validate") else cls.parse_obj(data)


def _answer_text(message: AIMessage) -> str:
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"], ensure_ascii=False)
    if message.invalid_tool_calls:
        return message.invalid_tool_calls[0]["args"] or ""
    return str(message.text)


def _check_end(message: AIMessage, finish: str | None, text: str) -> None:
    refusal = message.additional_kwargs.get("refusal")
    if refusal or finish == "content_filter":
        why = f"The model refused to answer: {refusal}" if refusal else "A content filter stopped the answer."
        raise AnswerRefusedError(why, text=refusal or text)
    if finish == "length":
        msg = (
            f"The answer was cut at its token limit after {len(text):,} characters, so it does not fill the schema. "
            "Raise max_tokens, or ask for less. What had arrived is in the error's `text`."
        )
        raise AnswerTruncatedError(msg, text=text)
