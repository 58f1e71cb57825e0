"""Finds the sentences of a context that answer a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from kilocode_gateway.local.words import stems

_DASHES = r"\n?\s*-{6,}\s*?\n?"
_ANSWER = r"\n\s*(?:Answer|Refined Answer|New Answer|Helpful Answer|Response)\b"
_CONTEXT = r"(?:context|documents?|sources|excerpts?|passages?|notes)\b"
_REFINE = re.compile(
    r"The original query is as follows: (?P<q>.*?)\nWe have provided an existing answer: (?P<old>.*?)\n"
    rf"We have the opportunity.*?{_DASHES}(?P<c>.*?){_DASHES}",
    re.DOTALL,
)
_CHAT_REFINE = re.compile(
    r"New Context: (?P<c>.*?)\nQuery: (?P<q>.*?)\nOriginal Answer: (?P<old>.*?)\nNew Answer:", re.DOTALL
)
_SYSTEM_REFINE = re.compile(
    rf"existing answer using the provided context.*?{_DASHES}(?P<c>.*?){_DASHES}"
    rf"Existing Answer:\n(?P<old>.*?){_DASHES}",
    re.DOTALL,
)
_LINED = re.compile(
    rf"(?:context|information|documents?|text)\b[^\n]{{0,300}}\n?{_DASHES}(?P<c>.*?)(?:{_DASHES}(?P<rest>.*)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_TAGGED = re.compile(r"<(context|documents?|sources?)>\s*(?P<c>.*?)\s*</\1>", re.DOTALL | re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:^|\n|[.!?] +)[^\n]{{0,200}}\b{_CONTEXT}[^\n:]{{0,80}}:[ \t]*\n*(?P<c>.+?)"
    r"(?=\n\s*(?:Question|Query|User question|Human|Instruction|Existing Answer)\s*:|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_LOOSE = re.compile(rf"\b{_CONTEXT}[^\n]{{0,300}}\n\s*\n(?P<c>.+)\Z", re.DOTALL | re.IGNORECASE)
_QUESTION = re.compile(
    r"(?:^|\n)\s*(?:User )?(?:Query|Question)\s*:\s*(?P<q>.+?)"
    rf"(?=\n\s*(?:Context|Sources|Documents)\b[^\n]*:|{_ANSWER}|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)[\"')\]]*\s+(?=[A-Z0-9\"'`(\[*_\u00c0-\u00de\u0410-\u042f])|(?<=[\u3002\uff01\uff1f])"
)
_METADATA = re.compile(
    r"^(?:file|file_path|file_name|file_type|file_size|page_label|source|creation_date|last_modified_date)\s*:",
    re.IGNORECASE,
)
_SUMMARY = {
    "summar",
    "summary",
    "overview",
    "document",
    "main",
    "point",
    "topic",
    "gist",
    "context",
    "text",
    "describ",
    "outlin",
}
_ITEM = re.compile(r"(?:[-*+•]|\d+[.)])\s+")
_CODE, _ROW = 0.4, 0.8
"""What a line of code or a heading, and a row of a table, count beside a sentence."""
_UNKNOWN = "The context does not say."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question over a context."""

    context: str
    question: str
    existing: str | None = None
    """The answer so far, where one is to be refined."""


def find(user: str, system: str) -> Asked | None:
    """Find context and question in a conversation's last user message and its system message."""
    for pattern in (_REFINE, _CHAT_REFINE):
        if match := pattern.search(user):
            return Asked(match["c"], match["q"].strip(), match["old"].strip())
    if match := _SYSTEM_REFINE.search(system):
        return Asked(match["c"], user, match["old"].strip())
    for text in (user, system):
        for pattern in (_TAGGED, _LINED, _NAMED):
            if match := pattern.search(text):
                return Asked(match["c"], _question(text, user, match["c"]))
    match = _LOOSE.search(system)
    return Asked(match["c"], user) if match else None


def _question(text: str, user: str, context: str) -> str:
    rest = text.replace(context, "\n", 1)
    if match := _QUESTION.search(rest):
        return match["q"].strip()
    if text is not user:
        return user
    return rest.strip().rsplit("\n", 1)[-1]


@dataclass(slots=True)
class _Unit:
    text: str
    weight: float
    heading: frozenset[str]
    own: list[str]


def respond(asked: Asked) -> str:
    """Answer with the best matching sentence of the context, or two when the second tells what the first does not."""
    units = _units(asked.context)
    wanted = stems(asked.question)
    if not set(wanted) - _SUMMARY:
        return (
            " ".join(unit.text for unit in units if unit.weight >= 1)[:600].rsplit(" ", 1)[0]
            if not wanted or units
            else _UNKNOWN
        )
    ranked = _ranked(units, wanted)
    found = [unit for _, unit in ranked]
    if asked.existing is not None:
        old = _ranked(_units(asked.existing), wanted)
        if not found or (old and _cover(old[0][1], wanted) >= _cover(found[0], wanted)):
            return asked.existing
    if not found:
        return _UNKNOWN
    first = found[0]
    missing = set(wanted) - set(first.own) - first.heading
    for score, unit in ranked[1:4]:
        if score * 2 >= ranked[0][0] and len(missing & set(unit.own)) * 2 >= max(2, len(missing)):
            return " ".join(one.text for one in units if one is first or one is unit)
    return first.text


def _cover(unit: _Unit, wanted: list[str]) -> int:
    return len(set(wanted) & set(unit.own))


def _ranked(units: list[_Unit], wanted: list[str]) -> list[tuple[float, _Unit]]:
    """Score the units by how much of the question's rarer words they have, best first; those with none are left out."""
    seen = Counter(part for unit in units for part in set(unit.own))
    rarity = {part: math.log(1 + (len(units) + 1) / (1 + seen[part])) + 0.1 for part in wanted}
    pairs = set(pairwise(wanted))
    scored = []
    for index, unit in enumerate(units):
        own = set(unit.own)
        score = sum(value for part, value in rarity.items() if part in own)
        if not score:
            continue
        score += 0.4 * sum(value for part, value in rarity.items() if part in unit.heading and part not in own)
        score += 0.5 * len(pairs & set(pairwise(unit.own)))
        score *= unit.weight / (1 + 0.015 * len(unit.own))
        scored.append((-score, index, unit))
    scored.sort(key=lambda entry: entry[:2])
    return [(-score, unit) for score, _, unit in scored]


@dataclass(slots=True)
class _Reader:
    """Cuts a context into sentences, list items, table rows and lines of code, each with its heading."""

    units: list[_Unit] = field(default_factory=list)
    heading: frozenset[str] = frozenset()
    paragraph: list[str] = field(default_factory=list)
    fence: list[str] | None = None
    """The lines of code so far, inside of a fence."""
    table: frozenset[str] = frozenset()
    """What the head of the latest table says."""
    shown: str = ""
    """The one line of code that the next paragraph goes on from."""

    def flush(self) -> None:
        """End a paragraph."""
        for sentence in _SENTENCE.split(" ".join(self.paragraph)):
            self.add(sentence.strip(), 1.0)
        self.paragraph.clear()

    def add(self, text: str, weight: float, table: frozenset[str] = frozenset()) -> None:
        """Keep a unit, unless it stood there just before, as where chunks overlap."""
        if text and not any(unit.text == text for unit in self.units[-50:]):
            # A question never answers itself, and half a sentence from a chunk's edge answers worse than a whole one.
            weight *= 0.5 if text.endswith("?") else 1.0
            self.units.append(
                _Unit(
                    text,
                    weight * (0.8 if weight == 1.0 and text[0].islower() else 1.0),
                    self.heading | table,
                    stems(text),
                )
            )

    def read(self, line: str) -> None:
        """Take the next line."""
        if line.startswith("```"):
            self._fence()
        elif self.fence is not None:
            self.fence.append(line)
            self.add(line, _CODE)
        else:
            self._read_text(line)

    def _read_text(self, line: str) -> None:
        if line.startswith("|") and set(line) <= set("|-: "):
            if self.units:
                # What stands above this line is the table's head: it says what the rows are about.
                self.table = frozenset(self.units.pop().own)
        elif not line or set(line) <= set("-=*_"):
            self.flush()
        elif line.startswith("#"):
            self.flush()
            self.heading = frozenset(stems(line))
            self.add(line.lstrip("# "), _CODE)
        elif line.startswith("|"):
            self.flush()
            self.add(" | ".join(cell.strip() for cell in line.strip("|").split("|") if cell.strip()), _ROW, self.table)
        elif _METADATA.match(line):
            self.flush()
        elif match := _ITEM.match(line):
            self.flush()
            self.paragraph.append(line[match.end() :])
        else:
            if self.shown and not self.paragraph and line[0].islower():
                line = f"`{self.shown}` {line}"
            self.shown = ""
            self.paragraph.append(line)

    def _fence(self) -> None:
        self.flush()
        if self.fence is None:
            self.fence = []
        else:
            self.shown = self.fence[0] if len(self.fence) == 1 else ""
            self.fence = None


def _units(context: str) -> list[_Unit]:
    reader = _Reader()
    for line in context.splitlines():
        reader.read(line.strip())
    reader.flush()
    return reader.units
