"""Words, stems, sentences and token counts: the little that the local gateway knows of language."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SPLIT_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below between both but by can
could did do does doing down each few for from further had has have having he her here hers him his how i if in into
is it its itself just let me more most my no nor not now of off on once only or other our out over own please same she
should so some such tell than that the their them then there these they this those through to too under until up us
use using happens happen very was we were what when where which while who whom whose why will with would you your give
given show want need like get
"""
STOP = frozenset(_STOP_WORDS.split())
"""Words that say little of what a text is about."""

_ENDINGS = (
    *(("ations", 5), ("ation", 5), ("ings", 5), ("ing", 5), ("ies", 5), ("ied", 5), ("ed", 5)),
    *(("ers", 6), ("er", 6), ("ly", 5), ("es", 5), ("s", 4)),
)
"""What is cut off, and how long a word must at least be for it."""


def count_tokens(text: str) -> int:
    """Count tokens: each run of letters and digits and each other sign that is no blank is one.

    It is no model's own count, but the same for the same text everywhere.
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def cut_to_tokens(text: str, most: int) -> str:
    """Give the beginning of a text that has so many tokens."""
    for count, match in enumerate(_TOKEN.finditer(text)):
        if count == most:
            return text[: match.start()].rstrip()
    return text


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Cut the commonest endings off a lower-case word, so that its forms meet."""
    word = word.removesuffix("'s")
    for ending, least in _ENDINGS:
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word  # noqa: PLR2004 - "the", "see" stay


def words(text: str) -> list[str]:
    """List the lower-case words; names in camel or snake case fall apart."""
    return [word.lower() for word in _WORD.findall(_SPLIT_CAMEL.sub(" ", text))]


def stems(text: str) -> list[str]:
    """List the stems of the words that say something."""
    return [stem(word) for word in words(text) if word not in STOP]
