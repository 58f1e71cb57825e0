"""JSON in an answer's text: it is found whatever stands around it, and no text makes the search fail."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from kilocode_gateway.wire.json_text import json_in, misfit
from tests.properties.holding import holds
from tests.properties.values import json_of, objects_of, texts

pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', ":", ",", "```", "```json\n", "\n```", "\\", " ", "{}", '{"a": 1}', "x"]
)
scraps = st.lists(pieces | texts, max_size=12).map("".join) | st.builds(
    lambda text, n: text * n, pieces, st.integers(0, 3000)
)
prose = st.text(st.characters(exclude_characters="{}[]`"), max_size=20)


@holds(text=scraps)
def test_any_text_gives_a_part_of_itself(text: str) -> None:
    found = json_in(text)
    assert found in text
    assert found == found.strip()
    assert json_in(found) == found


@holds(500, value=objects_of(texts), before=prose, after=prose, indent=st.sampled_from([None, 2]), fenced=st.booleans())
def test_an_object_is_found_in_prose_and_fences(
    value: dict[str, Any], before: str, after: str, indent: int | None, fenced: bool
) -> None:
    text = json.dumps(value, indent=indent)
    wrapped = f"{before}\n```json\n{text}\n```\n{after}" if fenced else f"{before} {text} {after}"
    assert json_in(wrapped) == text
    assert json_in(text) == text


said = st.dictionaries(prose, prose | st.sampled_from(["a\n```json\n{}\n```\nb", "\n", "{}"]), min_size=1, max_size=3)


@holds(value=said, before=prose, after=prose)
def test_an_object_with_plain_line_breaks_in_its_texts_is_found(value: dict[str, str], before: str, after: str) -> None:
    text = json.dumps(value)
    if "\\\\" not in text:
        # As models write it.
        text = text.replace("\\n", "\n")
    assert json_in(text) == text
    assert json_in(f"{before} {text} {after}") == text or "```" in text


@holds(one=said, other=said, between=prose)
def test_of_two_objects_neither_is_chosen(one: dict[str, str], other: dict[str, str], between: str) -> None:
    first, second = json.dumps(one), json.dumps(other)
    text = f"Either {first} {between} or {second}."
    assert json_in(text) == (text if first != second else first)


@holds(value=objects_of(texts), before=prose, place=st.integers(0, 10_000))
def test_of_a_growing_answer_comes_what_is_there(value: dict[str, Any], before: str, place: int) -> None:
    text = json.dumps(value)
    part = text[: place % (len(text) + 1)]
    found = json_in(f"{before}{part}")
    assert found == part.strip() or len(part) < 2 or found == f"{before}{part}".strip()


@holds(
    200,
    name=texts,
    errors=st.lists(st.dictionaries(st.sampled_from(["loc", "msg"]), st.lists(json_of(leaves=2)) | texts)),
)
def test_any_misfit_is_told(name: str, errors: list[dict[str, Any]]) -> None:
    assert f"does not fit {name}: " in misfit(name, errors)
