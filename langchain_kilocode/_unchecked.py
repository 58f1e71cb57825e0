"""Pieces of a stream, made without the cost of checking each of them: what checking would have left is copied.

Checking costs more than all the rest of a piece. A test holds every piece equal to a checked one.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)

_set = object.__setattr__


class _Template(Generic[Model]):
    """Makes objects like one that was checked, with other values for some of its fields.

    Args:
        checked: Its own values are not shared: each object gets lists and dicts of its own.

    """

    def __init__(self, checked: Model) -> None:
        self._class = type(checked)
        self._values = dict(checked.__dict__)
        self._given = set(checked.model_fields_set)
        self._private = checked.__pydantic_private__
        self._extra = checked.__pydantic_extra__
        mutable = {name: value for name, value in self._values.items() if isinstance(value, (list, dict))}
        self._mutable = list(mutable.items())
        if any(mutable.values()) or self._private or self._extra:
            msg = f"Expected nothing in the lists and dicts of the {self._class.__name__} that is copied."
            raise ValueError(msg)

    def make(self, values: dict[str, Any]) -> Model:
        """Give an object with these values."""
        held = self._values.copy()
        for name, empty in self._mutable:
            held[name] = empty.copy()
        held.update(values)
        made = self._class.__new__(self._class)
        _set(made, "__dict__", held)
        _set(made, "__pydantic_fields_set__", self._given.copy())
        _set(made, "__pydantic_extra__", self._extra)
        _set(made, "__pydantic_private__", self._private)
        return made


_MESSAGE = _Template(AIMessageChunk(content="", additional_kwargs={}, response_metadata={}, tool_call_chunks=[]))
_GENERATION = _Template(ChatGenerationChunk(message=AIMessageChunk(content=""), generation_info=None))


def text_chunk(text: str, extra: dict[str, Any], metadata: dict[str, Any]) -> ChatGenerationChunk:
    """Give a piece that brings text, or reasoning in `extra`, and nothing else."""
    message = _MESSAGE.make({"content": text, "additional_kwargs": extra, "response_metadata": metadata})
    return _GENERATION.make({"text": text, "message": message})
