"""Pieces of a stream, built without validation, which would cost more than everything else that is done for a piece.

Their values are ours and of the right types. What is built equals what validation would have left, in every field and
in what pydantic keeps beside them. Fields that are not given have the framework's own defaults, in whatever version it
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

if TYPE_CHECKING:
    Model = TypeVar("Model", bound=BaseModel)

# Where pydantic keeps an object's fields, which of them were given, and what else it holds.
_set_fields, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
_new = object.__new__

_message = AIMessageChunk(content="", additional_kwargs={}, response_metadata={}, tool_call_chunks=[])
_generation = ChatGenerationChunk(message=_message, generation_info=None)
_MESSAGE, _MESSAGE_NAMES = vars(_message), _message.model_fields_set
_GENERATION, _GENERATION_NAMES = vars(_generation), _generation.model_fields_set
_MESSAGE_TAKES_MORE, _GENERATION_TAKES_MORE = (made.__pydantic_extra__ is not None for made in (_message, _generation))
# Each piece has its own.
_HOLDERS = [
    (name, type(value))
    for name, value in _MESSAGE.items()
    if isinstance(value, list | dict) and name not in ("additional_kwargs", "response_metadata")
]


def chunk_of(text: str, extra: dict[str, Any], metadata: dict[str, Any]) -> ChatGenerationChunk:
    """Give a piece that brings nothing but text, and what stands in `extra`: its `additional_kwargs`."""
    fields = _MESSAGE.copy()
    for name, kind in _HOLDERS:
        fields[name] = kind()
    fields["content"] = text
    fields["additional_kwargs"] = extra
    fields["response_metadata"] = metadata
    outer = _GENERATION.copy()
    outer["text"] = text
    outer["message"] = _made(AIMessageChunk, fields, _MESSAGE_NAMES, takes_more=_MESSAGE_TAKES_MORE)
    return _made(ChatGenerationChunk, outer, _GENERATION_NAMES, takes_more=_GENERATION_TAKES_MORE)


def _made(cls: type[Model], fields: dict[str, Any], names: set[str], *, takes_more: bool) -> Model:
    made = _new(cls)
    _set_fields(made, fields)
    _set_given(made, names.copy())
    _set_extra(made, {} if takes_more else None)
    _set_private(made, None)
    return made
