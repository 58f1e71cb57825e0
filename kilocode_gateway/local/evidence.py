"""What stands in a text that could fill a parameter: numbers, quoted strings, names, dates, expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kilocode_gateway.local.words import STOP, stem, words

_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})+(?:\.\d+)?|(?<![\w.])\d+(?:\.\d+)?(?!\w*@)")
_SMALL = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBER_WORDS = {
    **{word: value for value, word in enumerate(_SMALL, start=2)},
    "zero": 0,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "hundred": 100,
}
"""Not "one": it is seldom a number."""
_WORD_NUMBER = re.compile(rf"\b({'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_MARKS = (
    ('"', '"'),
    ("\u201c", "\u201d"),
    ("\u2018", "\u2019"),
    ("\u300c", "\u300d"),
    ("\u00ab", "\u00bb"),
    ("`", "`"),
)
"""Opening and closing quotation marks."""
_QUOTED = re.compile(
    "|".join([r"(?<!\w)'([^'\n]{1,400})'(?!\w)", *(f"{left}([^{right}\n]{{1,400}}){right}" for left, right in _MARKS)])
)
_CAPITAL = r"[^\W\d_a-z][\w'&.-]*\w|[A-Z]"
_NAME = re.compile(rf"\b(?:{_CAPITAL})(?:\s+(?:of\s+|de\s+|the\s+)?(?:{_CAPITAL}))*(?:,\s[A-Z]{{2}}\b)?")
_EXPRESSION = re.compile(r"[(\d][\d\s.()]*(?:[-+*/^%\u00d7\u00f7][\d\s.()]*)+\d\)*")
_SPOKEN = re.compile(
    r"(-?\d+(?:\.\d+)?)\s+(plus|minus|times|multiplied by|divided by|x)\s+(-?\d+(?:\.\d+)?)", re.IGNORECASE
)
_SIGNS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "x": "*"}
_STARTING_WORDS = """
add and answer ask book calculate call check choose classify compare compute convert could create describe divide
extract explain fetch find first for from generate get give hello hey hi here human how i i'm in invent is it list
look make multiply no now of on open order play please put query question read recommend record reply return run save
say search send set show start store subtract suggest sum summarize tell the then think to today translate turn use
user using weather what when where which who why with write yes you assistant dear thanks let's let ok okay json
reason observation action thought tool context system
"""
_STARTERS = frozenset(_STARTING_WORDS.split())
"""Words that begin a sentence with a capital and are no names."""
_LONGEST_SEARCH = 2000
"""Characters in which an expression is looked for: the search takes the square of the length of a list of numbers."""
PLACE_WORDS = ("in", "at", "near", "from", "to", "around", "for", "of", "over")


@dataclass(slots=True)
class Found:
    """One candidate, and where it stands."""

    value: str
    start: int
    before: str
    """The word before it, lower case."""
    used: bool = False


@dataclass(slots=True)
class Evidence:
    """The candidates of a text, each to be used once."""

    text: str
    hints: dict[str, object] = field(default_factory=dict)
    """Values that are known for properties of these names."""
    told: str = ""
    """What tools gave."""
    numbers: list[Found] = field(init=False)
    quoted: list[Found] = field(init=False)
    names: list[Found] = field(init=False)
    stems: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.stems = {stem(word) for word in words(self.text)}
        self.quoted = [
            self._found(next(filter(None, match.groups())), match.start()) for match in _QUOTED.finditer(self.text)
        ]
        spans = [(found.start, found.start + len(found.value) + 2) for found in self.quoted]
        self.numbers = sorted(self._digits() + self._spelled(), key=lambda found: found.start)
        self.names = [
            found for found in self._capitalised() if not any(start <= found.start < end for start, end in spans)
        ]

    def _found(self, value: str, start: int) -> Found:
        before = re.findall(r"[\w']+", self.text[max(0, start - 30) : start])
        return Found(value, start, before[-1].lower() if before else "")

    def _digits(self) -> list[Found]:
        found = []
        for match in _NUMBER.finditer(self.text):
            start = match.start()
            before = self.text[max(0, start - 2) : start]
            minus = before.endswith("-") and not (before[:-1].isalnum() or before[:-1] == ")")
            found.append(self._found(("-" if minus else "") + match[0].replace(",", ""), start))
        return found

    def _spelled(self) -> list[Found]:
        return [
            self._found(str(_NUMBER_WORDS[match[1].lower()]), match.start())
            for match in _WORD_NUMBER.finditer(self.text)
        ]

    def _capitalised(self) -> list[Found]:
        found = []
        for match in _NAME.finditer(self.text):
            value, start = match[0], match.start()
            while True:
                first, blank, rest = value.partition(" ")
                plain = first.lower().removesuffix("'s").strip(".,")
                if plain not in _STARTERS and plain not in STOP:
                    break
                start += len(first) + len(blank)
                value = rest
                if not value:
                    break
            if value:
                found.append(self._found(value.removesuffix("'s").rstrip("."), start))
        return found

    @property
    def expression(self) -> str | None:
        """The first arithmetic expression, in signs."""
        start = self.text[:_LONGEST_SEARCH]
        if match := _EXPRESSION.search(start):
            return match[0].strip()
        if match := _SPOKEN.search(start):
            return f"{match[1]} {_SIGNS[match[2].lower()]} {match[3]}"
        return None

    @property
    def topic(self) -> str:
        """What the text is about, in a few words."""
        if self.expression:
            return self.expression
        if match := re.search(r"\b(?:about|on|regarding|of|for)\s+((?:[\w'-]+\s?){1,4})", self.text, re.IGNORECASE):
            told = " ".join(
                word for word in match[1].split() if word.lower() not in STOP or word.lower() in ("and", "of")
            )
            if told.strip():
                return told.strip()
        said = [
            word
            for word in re.findall(r"[^\W\d_][\w'-]*", self.text)
            if word.lower() not in STOP and word.lower() not in _STARTERS
        ]
        return " ".join(said[:4]) or "this"

    def labelled(self, name_words: list[str]) -> str | None:
        """Give what follows a parameter's name: `city: Paris`, `city = Paris`, `city is Paris`."""
        label = r"[\s_-]*".join(map(re.escape, name_words))
        match = re.search(
            rf"\b{label}\b\s*(?:[:=]|\bis\b|\bnamed\b|\bcalled\b)\s*[\"'`]?([^\"'`\n,;.!?]+)", self.text, re.IGNORECASE
        )
        return match[1].strip() if match else None

    @staticmethod
    def take(candidates: list[Found], fits: object = None) -> str | None:
        """Use the first candidate that is unused and fits; None when there is none."""
        for found in candidates:
            if not found.used and (not callable(fits) or fits(found)):
                for same in candidates:
                    same.used = same.used or same.value == found.value
                return found.value
        return None
