"""Chooses a tool for what a user says, and fills its arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.evidence import Evidence
from kilocode_gateway.local.filling import fill
from kilocode_gateway.local.words import STOP, stem, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FITS = 2.0
"""The least score with which a tool is called where none has to be."""
_DULL = {
    "tool",
    "function",
    "call",
    "value",
    "result",
    "number",
    "return",
    "answer",
    "provide",
    "useful",
    "information",
    "str",
    "int",
}
_SYNONYMS = (
    (r"\d\s*\+\s*\d|\bplus\b|\bsum\b|\badd(?:ed|ing)?\b", {"add", "sum", "plus", "addition"}),
    (r"\d\s*[*x\u00d7]\s*\d|\btimes\b|\bmultipl\w+|\bproduct\b", {"multiply", "product", "times", "multiplication"}),
    (r"\d\s+-\s+\d|\bminus\b|\bsubtract\w*|\bdifference\b", {"subtract", "minus", "difference", "subtraction"}),
    (r"\d\s*/\s*\d|\bdivided?\b", {"divide", "division", "quotient"}),
    (r"\d\s*\^\s*\d|\bpower\b|\bsquared?\b", {"power", "square", "exponent"}),
    (
        r"\d\s*[-+*/^\u00d7]\s*\d|\bcalculate\b|\bcompute\b|\bplus\b|\btimes\b|\bminus\b",
        {"calculate", "calculator", "math", "arithmetic", "compute", "expression"},
    ),
    (r"\bsunny|\brain\w*|\bforecast\b|\btemperature\b|\bhot\b|\bcold\b", {"weather", "forecast", "temperature"}),
    (r"\bwhat time\b|\bclock\b|\bo'clock\b", {"time", "clock", "now"}),
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called."""

    name: str
    description: str
    parameters: dict[str, Any]

    @classmethod
    def read(cls, given: Any) -> list[Tool]:
        """Read a request's tools; what is none is left out."""
        found = []
        for entry in given if isinstance(given, list) else ():
            function = entry.get("function") if isinstance(entry, dict) else None
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                parameters = function.get("parameters")
                found.append(
                    cls(
                        function["name"],
                        str(function.get("description") or ""),
                        parameters if isinstance(parameters, dict) else {},
                    )
                )
        return found

    @property
    def looks_structured(self) -> bool:
        """Whether it is likelier a class to be filled than a thing to be done: it is named like a class."""
        return self.name[:1].isupper() and "_" not in self.name.strip("_")

    def call(self, evidence: Evidence) -> dict[str, Any]:
        """Give a call with arguments drawn from the text."""
        schema = {"type": "object", **self.parameters}
        arguments = fill(schema, evidence)
        return {"name": self.name, "arguments": arguments if isinstance(arguments, dict) else {}}

    def score(self, text: str, said: set[str], numbers: int) -> float:
        """Say how well it fits a text, of which the stems and the count of numbers are given."""
        own = _telling(self.name)
        properties = self.parameters.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        score = 10.0 if re.search(rf"(?<!\w){re.escape(self.name)}(?!\w)", text) else 0.0
        score += 3.0 * len(own & said)
        score += 1.0 * len((_telling(self.description) - own) & said)
        score += 0.5 * len({part for name in properties for part in _telling(name)} & said)
        needed = self.parameters.get("required")
        wanted = sum(
            1
            for name in (needed if isinstance(needed, list) else properties)
            if isinstance(properties.get(name), dict) and properties[name].get("type") in ("integer", "number")
        )
        if wanted:
            score += 1.0 if numbers >= wanted else -2.0
        return score


def _telling(text: str) -> set[str]:
    return {stem(word) for word in words(text) if word not in STOP and word not in _DULL}


def _said(text: str) -> set[str]:
    """List the stems of a text, and of other words for what it says."""
    found = _telling(text)
    for pattern, synonyms in _SYNONYMS:
        if re.search(pattern, text, re.IGNORECASE):
            found |= {stem(word) for word in synonyms}
    return found


def best(tools: Iterable[Tool], text: str, *, least: float = _FITS) -> Tool | None:
    """Give the tool that fits a text best; None when none scores enough. Of equals the first."""
    said, numbers = _said(text), len(Evidence(text).numbers)
    scored = [(tool.score(text, said, numbers), -index, tool) for index, tool in enumerate(tools)]
    top = max(scored, key=lambda entry: entry[:2], default=None)
    return top[2] if top and top[0] >= least else None


def named_wholly(tools: Iterable[Tool], text: str) -> list[Tool]:
    """List the tools whose every telling name word the text says."""
    said = _said(text)
    return [tool for tool in tools if _telling(tool.name) and _telling(tool.name) <= said]


def choose(tools: Sequence[Tool], tool_choice: Any, text: str, called: set[str], *, answered: bool) -> Tool | None:
    """Decide which tool to call now.

    Args:
        tools: What there is.
        tool_choice: As in the request: "auto", "none", "required", or an object that names one.
        text: What the user asks.
        called: The tools called since.
        answered: Whether the last message is a tool's result.

    Returns:
        The tool, or None for an answer in words.

    """
    if not tools or tool_choice == "none":
        return None
    if isinstance(tool_choice, dict):
        name = (tool_choice.get("function") or tool_choice).get("name")
        return next((tool for tool in tools if tool.name == name), tools[0])
    forced = tool_choice in ("required", "any")
    structured = [tool for tool in tools if tool.looks_structured and tool.name not in called]
    if answered:
        # A result is there: what is left is another thing that was asked for by name, or the class to be filled.
        others = named_wholly((tool for tool in tools if tool.name not in called and not tool.looks_structured), text)
        return next(iter([*others, *structured]), None)
    real = [tool for tool in tools if not tool.looks_structured]
    if found := best(real, text):
        return found
    if structured and (forced or not real):
        return best(structured, text, least=0.0) or structured[0]
    return best(tools, text, least=-99.0) if forced else None
