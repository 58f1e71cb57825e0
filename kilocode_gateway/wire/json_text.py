"""Finds the JSON object in a model's answer, and says what is wrong with one: one reader for both frameworks."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DECODER = json.JSONDecoder(strict=False)
_FENCE = re.compile(r"^[ \t]*```[ \t]*\w*\s*(?=[{\[])", re.MULTILINE)
_BEGIN = re.compile(r'\{\s*["}]')
_BRACE = re.compile(r"[{}]")
_THOUGHTS = re.compile(r"(?:<think(?:ing)?>)?.*?</think(?:ing)?>", re.DOTALL)
"""Thoughts in the text, as some open models write them, now and then without the tag that begins them."""
_WRONG_FIELDS_SHOWN = 5


def json_in(text: str) -> str:
    """Give the JSON of an answer, without thoughts, a code fence or prose around it; of a growing one, what has come.

    An answer with several objects, of which none stands alone in a fence, is ambiguous and comes back as it is, and so
    does one without any, or with nothing but thoughts.
    """
    text = text.strip()
    if text.startswith("["):
        return text
    for part in _answers(text):
        if part.startswith("["):
            return part
        fenced = [] if part.startswith("{") else _fenced(part)
        found = set(fenced or _objects(part))
        if len(found) == 1:
            return found.pop()
    return text


def _answers(text: str) -> Iterator[str]:
    """Give the text without thoughts, and as it is if it may have none: a tag may stand in what is meant, too."""
    thoughts = None if text.startswith("{") else _THOUGHTS.match(text)
    if thoughts is not None:
        yield text[thoughts.end() :].strip()
    if not text.startswith("<think"):
        yield text


def arguments_in(text: str) -> str:
    """Give the JSON of a tool call's arguments: no text stands for none, and so does `null`."""
    return "{}" if text.strip() in ("", "null") else text


def _fenced(text: str) -> list[str]:
    """Give the JSON that stands alone in code fences."""
    found = []
    for fence in _FENCE.finditer(text):
        end = _end(text, fence.end())
        if end is not None and text[end:].lstrip().startswith("```"):
            found.append(text[fence.end() : end])
    return found


def _objects(text: str) -> Iterator[str]:
    """Give the objects that stand in a text, one after the other; one that is cut or broken goes to the text's end."""
    place = 0
    while (begin := text.find("{", place)) >= 0:
        if _BEGIN.match(text, begin) is None and begin + 1 < len(text):
            # Braces that hold something else, such as {this}, and perhaps an object that means nothing here.
            place = _closed(text, begin)
            continue
        end = _end(text, begin)
        yield text[begin:end]
        if end is None:
            return
        place = end


def _end(text: str, begin: int) -> int | None:
    try:
        return _DECODER.raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return None


def _closed(text: str, begin: int) -> int:
    depth = 0
    for brace in _BRACE.finditer(text, begin):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return len(text)


def misfit(name: str, errors: Iterable[Mapping[str, Any]]) -> str:
    """Say which fields of an answer are wrong, without what stands in them.

    Args:
        name: The schema's name.
        errors: Pydantic's, each with `loc` and `msg`.

    """
    wrong = [
        ": ".join(part for part in (".".join(map(str, error.get("loc", ()))), str(error.get("msg", ""))) if part)
        for error in errors
    ]
    more = len(wrong) - _WRONG_FIELDS_SHOWN
    listed = "; ".join(wrong[:_WRONG_FIELDS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"The answer does not fit {name}: {listed}. Ask again, describe these fields in {name}, allow what came, or "
        "choose another model."
    )
