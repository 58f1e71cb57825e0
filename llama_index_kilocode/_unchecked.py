"""The framework's objects for the pieces of a stream, built without validation.

There are three to five of them for each piece, and each holds all that came before, so that validating them costs more
than everything else that is done for a piece. Their values are ours and of the right types. What is built equals what
validation would have left, in every field and in what pydantic keeps beside them. Fields that are not given have the
framework's own defaults, in whatever version it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import LogProb

    _Model = TypeVar("_Model", bound=BaseModel)

# Where pydantic keeps an object's fields, which of them were given, and what else it holds.
_set_fields, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
_new = object.__new__

_TEXT = vars(TextBlock(text=""))
_THOUGHTS = vars(ThinkingBlock(content=""))
_CALL = vars(ToolCallBlock(tool_name=""))
_MESSAGE = vars(ChatMessage(role=MessageRole.ASSISTANT))
_RESPONSE = vars(ChatResponse(message=ChatMessage()))
_TEXT_NAMES, _THOUGHTS_NAMES, _CALL_NAMES = set(_TEXT), set(_THOUGHTS), set(_CALL)
_MESSAGE_NAMES, _RESPONSE_NAMES = set(_MESSAGE), set(_RESPONSE)


def text_block(text: str) -> TextBlock:
    """Give a block of text."""
    fields = _TEXT.copy()
    fields["text"] = text
    return _made(TextBlock, fields, _TEXT_NAMES)


def thinking_block(content: str) -> ThinkingBlock:
    """Give a block of thoughts."""
    fields = _THOUGHTS.copy()
    fields["content"] = content
    fields["additional_information"] = {}
    return _made(ThinkingBlock, fields, _THOUGHTS_NAMES)


def tool_call_block(call_id: str | None, name: str, arguments: str) -> ToolCallBlock:
    """Give a block of a tool call, whose arguments may be a beginning."""
    fields = _CALL.copy()
    fields["tool_call_id"] = call_id
    fields["tool_name"] = name
    fields["tool_kwargs"] = arguments or {}
    return _made(ToolCallBlock, fields, _CALL_NAMES)


def assistant_message(blocks: list[Any], additional_kwargs: dict[str, Any]) -> ChatMessage:
    """Give a message of the model's."""
    fields = _MESSAGE.copy()
    fields["additional_kwargs"] = additional_kwargs
    fields["blocks"] = blocks
    return _made(ChatMessage, fields, _MESSAGE_NAMES)


def chat_response(
    message: ChatMessage,
    raw: dict[str, Any],
    delta: str,
    logprobs: list[list[LogProb]] | None,
    additional_kwargs: dict[str, Any],
) -> ChatResponse:
    """Give a response."""
    fields = _RESPONSE.copy()
    fields["message"] = message
    fields["raw"] = raw
    fields["delta"] = delta
    fields["logprobs"] = logprobs
    fields["additional_kwargs"] = additional_kwargs
    return _made(ChatResponse, fields, _RESPONSE_NAMES)


def _made(cls: type[_Model], fields: dict[str, Any], names: set[str]) -> _Model:
    made = _new(cls)
    _set_fields(made, fields)
    _set_given(made, names.copy())
    _set_extra(made, None)
    _set_private(made, None)
    return made
