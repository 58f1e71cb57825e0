"""JSON in a model's answer: found in fences and prose where there is no doubt, left alone where there is."""

from __future__ import annotations

import json

import pytest

from kilocode_gateway.wire.json_text import arguments_in, json_in, misfit

DATA = {"name": "Lisbon", "inside": {"a": [1, {"b": "```{}```"}], "c": "{"}}
TEXT = json.dumps(DATA)
PRETTY = json.dumps(DATA, indent=2)


@pytest.mark.parametrize("text", [TEXT, PRETTY])
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "  \n{}\n ",
        "```json\n{}\n```",
        "```\n{}\n```",
        "```JSON {}```",
        "Here you are:\n```json\n{}\n```\nAs you asked.",
        "Here you are:\n\n{}",
        "Here you are: {}. That is all.",
        "{}\nThat is all.",
        "As {{place}} asks, and {{ 'this': {{\"a\": 1}} }}: {}",
        'A city is like {{"name": "?"}}. So:\n```json\n{}\n```',
        "{0}\n\nOnce more:\n{0}",
        "{} and {{more}}",
        '<think>Perhaps {{"a": 1}}, or [2]?</think>{}',
        "<think></think>\n\n```json\n{}\n```",
        '<thinking>\n{{"a": 1}}\n</thinking>\nHere: {}',
        'First {{"a": 1}}, then?\n</think>\n{}',
    ],
)
def test_the_one_object_is_found(form: str, text: str) -> None:
    assert json.loads(json_in(form.format(text))) == DATA


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "Braces {like these} and {'these': {\"a\": 1}}.",
        '{"a": 1} or {"a": 2}',
        'Either {"a": 1} or {"a": 2}.',
        '```json\n{"a": 1}\n```\nor\n```json\n{"a": 2}\n```',
        '{"a": 1}\nor for example\n```json\n{"a": 2}\n```',
        "[1, 2]",
        '[{"a": 1}]',
        "{" * 3,
        '<think>{"a": 1}',
        '<think>{"a": 1}</think>',
        '<think>{"a": 1}</think>I do not know.',
        '<think>So?</think>{"a": 1} or {"a": 2}',
    ],
)
def test_what_is_in_doubt_is_left_alone(text: str) -> None:
    assert json_in(text) == text


@pytest.mark.parametrize("broken", ['{"a": {"b": 1}, "c": }', '{"a": {"b": 1} "c": 2}', '{"a": {"b": 1}, "c": "x'])
@pytest.mark.parametrize("before", ["", "Here: ", "```json\n"])
def test_an_inner_object_is_never_taken_for_the_answer(before: str, broken: str) -> None:
    assert json_in(before + broken) == broken


@pytest.mark.parametrize(
    "before",
    ["", "Here, {as asked}:\n", "```json\n", "So:\n```json\n", '<think>{"a": 1}</think>', "{so}</think>```json\n"],
)
def test_a_growing_object_is_followed(before: str) -> None:
    whole = before + TEXT
    for length in range(len(before) + 1, len(whole)):
        assert json_in(whole[:length]) == whole[len(before) : length].strip()


def test_thoughts_are_not_followed() -> None:
    whole = f"<think>Perhaps {TEXT}.</think>"
    for length in range(1, len(whole) + 1):
        assert json_in(whole[:length]) == whole[:length].strip()


@pytest.mark.parametrize("form", ["{}", "Here: {}", "```json\n{}\n```"])
def test_a_tag_of_thoughts_may_be_meant(form: str) -> None:
    meant = '{"tag": "</think>", "more": "<think>"}'
    assert json_in(form.format(meant)) == meant


def test_an_array_after_thoughts_is_found() -> None:
    assert json_in('<think>{"a": 1}</think> [1, 2]') == "[1, 2]"


@pytest.mark.parametrize("text", ["", " ", "null", " null\n", "{}"])
def test_a_call_without_arguments_has_none(text: str) -> None:
    assert json.loads(arguments_in(text)) == {}


def test_arguments_stay_as_they_are() -> None:
    for text in ('{"a": null}', "nullify", "[]", "0"):
        assert arguments_in(text) == text


def test_wrong_fields_are_named_and_not_all_of_them() -> None:
    said = misfit("City", [{"loc": ("items", place, "name"), "msg": "Field required"} for place in range(9)])
    assert said.startswith("The answer does not fit City: items.0.name: Field required; ")
    assert "and 4 more" in said
    assert "items.5" not in said


def test_long_and_deep_answers_are_read_in_reasonable_time() -> None:
    assert json_in("{x} " * 50_000 + '{"a": 1}') == '{"a": 1}'
    deep = '{"a": ' * 5_000
    assert json_in(deep) == deep.strip()
