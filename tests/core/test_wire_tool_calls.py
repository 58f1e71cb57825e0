"""Tool calls in pieces: however the upstream numbers and repeats them, the same calls come out."""

from __future__ import annotations

from typing import Any

import pytest

from kilocode_gateway.wire.tool_calls import ToolCallAssembler, ToolCallDelta
from tests.core.replies import read_stream, read_whole


def calls(*deltas: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    answer = read_stream(*({"tool_calls": pieces} for pieces in deltas), finish="tool_calls")
    return [(call.id, call.name, call.arguments) for call in answer.tool_calls]


def piece(
    arguments: object = None, *, index: object = None, id_: object = None, name: object = None, **more: Any
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    outer = {key: value for key, value in (("index", index), ("id", id_)) if value is not None}
    return {**outer, "type": "function", "function": function, **more}


TWO = [("c1", "one", '{"a":1}'), ("c2", "two", '{"b":2}')]


FORMS: dict[str, list[list[dict[str, Any]]]] = {
    "as OpenAI does": [
        [piece("", index=0, id_="c1", name="one")],
        [piece('{"a"', index=0)],
        [piece(":1}", index=0)],
        [piece("", index=1, id_="c2", name="two")],
        [piece('{"b":2}', index=1)],
    ],
    "index as text": [
        [piece("", index="0", id_="c1", name="one")],
        [piece('{"a":1}', index="0")],
        [piece('{"b":', index="1", id_="c2", name="two")],
        [piece("2}", index="1")],
    ],
    "without index": [
        [piece('{"a"', id_="c1", name="one")],
        [piece(":1}")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":2}')],
    ],
    "without index, ids repeated": [
        [piece('{"a"', id_="c1", name="one")],
        [piece(":1}", id_="c1")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":2}', id_="c2")],
    ],
    "id and name in every piece": [
        [piece('{"a"', index=0, id_="c1", name="one")],
        [piece(":1}", index=0, id_="c1", name="one")],
        [piece('{"b":', index=1, id_="c2", name="two")],
        [piece("2}", index=1, id_="c2", name="two")],
    ],
    "both in one chunk": [
        [piece('{"a":1}', index=0, id_="c1", name="one"), piece('{"b":', index=1, id_="c2", name="two")],
        [piece("2}", index=1)],
    ],
    "both in one chunk, all at index 0": [
        [piece('{"a":1}', index=0, id_="c1", name="one"), piece('{"b":2}', index=0, id_="c2", name="two")]
    ],
    "interleaved": [
        [piece("", index=0, id_="c1", name="one"), piece("", index=1, id_="c2", name="two")],
        [piece('{"b":', index=1)],
        [piece('{"a":', index=0)],
        [piece("2}", index=1), piece("1}", index=0)],
    ],
    "interleaved by id": [
        [piece("", id_="c1", name="one")],
        [piece("", id_="c2", name="two")],
        [piece('{"b":', id_="c2"), piece('{"a":', id_="c1")],
        [piece("1}", id_="c1"), piece("2}", id_="c2")],
    ],
    "all at index 0": [
        [piece('{"a":', index=0, id_="c1", name="one")],
        [piece("1}", index=0)],
        [piece('{"b":', index=0, id_="c2", name="two")],
        [piece("2}", index=0)],
    ],
    "index from 1, with gaps": [
        [piece("", index=1, id_="c1", name="one")],
        [piece('{"a":1}', index=1)],
        [piece("", index=7, id_="c2", name="two")],
        [piece('{"b":2}', index=7)],
    ],
    "arguments as an object": [
        [piece({"a": 1}, index=0, id_="c1", name="one")],
        [piece({"b": 2}, index=1, id_="c2", name="two")],
    ],
    "empty ids and names after the first": [
        [piece("", index=0, id_="c1", name="one")],
        [piece('{"a":1}', index=0, id_="", name="")],
        [piece("", index=1, id_="c2", name="two")],
        [piece('{"b":2}', index=1, id_="", name="")],
    ],
    "a closing piece repeats the name": [
        [piece('{"a":1}', index=0, id_="c1", name="one")],
        [piece("", index=0, name="one")],
        [piece('{"b":2}', index=1, id_="c2", name="two")],
        [piece("", index=1, id_="c2", name="two")],
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_two_calls_come_out_whatever_the_pieces_look_like(form: str) -> None:
    expected = [(id_, name, arguments.replace(":", ": ")) for id_, name, arguments in TWO] if "object" in form else TWO
    assert calls(*FORMS[form]) == expected


@pytest.mark.parametrize("index", [0, None, "0"], ids=["number", "none", "text"])
def test_calls_without_ids_get_one_each(index: object) -> None:
    found = calls(
        [piece('{"a":', index=index, name="one")],
        [piece("1}", index=index)],
        [piece('{"b":2}', index=index, name="two")],
        [piece('{"b":3}', index=index, name="two")],
    )
    assert [(name, arguments) for _, name, arguments in found] == [
        ("one", '{"a":1}'),
        ("two", '{"b":2}'),
        ("two", '{"b":3}'),
    ]
    assert len({id_ for id_, _, _ in found}) == 3
    assert all(id_.startswith("call_gen-1_") for id_, _, _ in found)


def test_two_calls_without_ids_and_arguments_stay_two() -> None:
    assert [(n, a) for _, n, a in calls([piece("", name="one")], [piece("", name="two")])] == [("one", ""), ("two", "")]


def test_an_id_that_comes_late_does_not_change_the_one_given_out() -> None:
    (only,) = calls(
        [piece("", index=0, name="one")], [piece('{"a":1}', index=0, id_="late")], [piece("", index=0, id_="late")]
    )
    assert only == ("call_gen-1_0", "one", '{"a":1}')


def test_after_a_late_id_a_further_id_is_a_further_call() -> None:
    found = calls(
        [piece("", index=0, name="one")],
        [piece('{"a":1}', index=0, id_="late")],
        [piece('{"b":2}', index=0, id_="other", name="two")],
    )
    assert [(name, arguments) for _, name, arguments in found] == [("one", '{"a":1}'), ("two", '{"b":2}')]


def test_a_name_that_comes_late_belongs_to_its_call() -> None:
    assert calls([piece("", index=0, id_="c1")], [piece('{"a":1}', index=0, name="one")]) == [TWO[0]]


@pytest.mark.parametrize("arguments", ["", "{", "not json", "[1]", '"{}"', "{}{}", "null", "\ud83d"])
def test_arguments_stay_as_they_came(arguments: str) -> None:
    assert calls([piece(arguments, index=0, id_="c1", name="one")]) == [("c1", "one", arguments)]
    assert calls(*([piece(char, index=0, id_="c1", name="one")] for char in arguments or " ")) == [
        ("c1", "one", arguments or " ")
    ]


def test_two_pieces_of_a_call_in_one_delta_are_handed_on_as_one() -> None:
    assembler = ToolCallAssembler()
    found = assembler.add(
        [piece('{"a"', index=0, id_="c1"), piece("{}", index=1, id_="c2"), piece(":1}", index=0, name="one")]
    )
    assert found == [ToolCallDelta(0, "c1", "one", '{"a":1}'), ToolCallDelta(1, "c2", None, "{}")]
    assert [call.arguments for call in assembler.finish()] == ['{"a":1}', "{}"]


def test_arguments_that_are_nested_without_end_are_no_object() -> None:
    deep = "[" * 100_000
    found = calls([piece(deep, index=0, name="one")], [piece("{}", index=0, name="one")])
    assert [(name, arguments) for _, name, arguments in found] == [("one", deep + "{}")]


def test_what_else_comes_with_a_call_goes_back_with_it() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "QUJD"}}}
    answer = read_stream({"tool_calls": [piece("{}", index=0, id_="c1", name="one", **extra)]})
    assert answer.tool_calls[0].as_message_part() == {
        **extra,
        "id": "c1",
        "type": "function",
        "function": {"name": "one", "arguments": "{}"},
    }


def test_a_function_call_of_old() -> None:
    old = {"function_call": {"name": "one", "arguments": '{"a":1}'}}
    assert read_stream(old).tool_calls == read_whole(old).tool_calls
    assert [(call.name, call.arguments) for call in read_whole(old).tool_calls] == [("one", '{"a":1}')]


def test_text_beside_a_call_in_one_piece_loses_neither() -> None:
    answer = read_stream({"content": "Calling.", "tool_calls": [piece("{}", index=0, id_="c1", name="one")]})
    assert (answer.text, len(answer.tool_calls)) == ("Calling.", 1)
