"""What comes over a wire: any JSON, JSON that is almost right, and bytes that were damaged on the way."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

HALF = "\ud83d"
"""Half a character, as JSON can carry it and UTF-8 cannot."""

texts: SearchStrategy[str] = st.text(max_size=12) | st.sampled_from(
    ["", " ", HALF, f"x{HALF}", "\0", "\u2028", "\r\n", "<b>&amp;</b>", "x" * 300, "0", "-1", "1e999", "nan", "null"]
)
"""Any text, half characters among it."""

numbers: SearchStrategy[Any] = (
    st.integers(-3, 300)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from(
        [
            0,
            -1,
            2**31,
            2**63,
            10**30,
            -(10**30),
            10**400,
            int("9" * 4300),
            0.5,
            2.5,
            float("nan"),
            float("inf"),
            -0.0,
            1e308,
            1e-320,
        ]
    )
)
"""Any number that JSON can bring, up to the longest that Python reads."""

scalars: SearchStrategy[Any] = st.none() | st.booleans() | numbers | texts


def json_of(names: SearchStrategy[str] = texts, *, leaves: int = 8) -> SearchStrategy[Any]:
    """Give any JSON whose objects have such names."""
    return st.recursive(
        scalars | st.just([]) | st.just({}),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=leaves,
    ) | st.sampled_from([30, 90]).map(nested)


def nested(depth: int) -> Any:
    """Give a value that is nested so deep."""
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"error": value}
    return value


def objects_of(names: SearchStrategy[str], *, leaves: int = 8) -> SearchStrategy[dict[str, Any]]:
    """Give any JSON object with such names."""
    return st.dictionaries(names, json_of(names, leaves=leaves), max_size=5)


@st.composite
def altered(draw: DrawFn, base: SearchStrategy[Any], *, most: int = 3) -> Any:
    """Give JSON that is like `base`, with up to so many changes anywhere inside."""
    value = copy.deepcopy(draw(base))
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(value))
        if not places:
            break
        _change(draw, *draw(st.sampled_from(places)))
    return value


def _places(value: Any) -> Any:
    """Give each place inside, as what holds it and its name or position."""
    for place in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, place
        yield from _places(value[place])


def _change(draw: DrawFn, holder: Any, place: Any) -> None:
    match draw(st.sampled_from(["replace", "replace", "wrap", "drop", "repeat"])):
        case "replace":
            holder[place] = draw(json_of(leaves=4))
        case "wrap":
            holder[place] = draw(st.sampled_from([[holder[place]], {"text": holder[place]}, str(holder[place])[:99]]))
        case "drop":
            del holder[place]
        case _ if isinstance(holder, list):
            holder.insert(place, copy.deepcopy(holder[place]))
        case _:
            holder[draw(texts)] = copy.deepcopy(holder[place])


@st.composite
def damaged(draw: DrawFn, whole: bytes, first: int = 0, last: int | None = None) -> bytes:
    """Give the bytes with one damage between two places: some flipped, lost, put in, doubled, or all after them cut."""
    start = draw(st.integers(first, len(whole) if last is None else last))
    end = min(start + draw(st.integers(1, 12)), len(whole) if last is None else last)
    before, inside, after = whole[:start], whole[start:end], whole[end:]
    match draw(st.sampled_from(["flip", "delete", "insert", "double", "cut"])):
        case "flip":
            return before + bytes(byte ^ draw(st.integers(1, 255)) for byte in inside[:1]) + inside[1:] + after
        case "delete":
            return before + after
        case "insert":
            return (
                before
                + draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\n", b"\r", b"\n\n", b'"', b"}"]))
                + inside
                + after
            )
        case "double":
            return before + inside + inside + after
        case _:
            return before


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut the bytes at these places, wherever they are inside."""
    marks = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


cuts: SearchStrategy[Sequence[int]] = st.lists(st.integers(0, 5000), max_size=8) | st.just(range(5000))
"""Where bytes are cut, a few places or all of them."""
