"""Reasoning in every form that upstreams give it: read once, never doubled, and whole when it goes back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.replies import detail, read_stream, read_whole, told_twice

ENCRYPTED = {"type": "reasoning.encrypted", "data": "QUJD", "id": "rs_1", "format": "openai-responses-v1", "index": 0}


SUMMARY = {"type": "reasoning.summary", "summary": "I think.", "format": "openai-responses-v1", "index": 0}


GEMINI = {"type": "reasoning.encrypted", "data": "R0VN", "id": "t1", "format": "google-gemini-v1", "index": 0}


TEXT = {"type": "reasoning.text", "text": "ha", "format": "unknown"}
HIDDEN = {"type": "reasoning.encrypted", "data": "QUJD", "format": "unknown"}


REASONING: dict[str, tuple[list[dict[str, Any]], str, dict[str, Any]]] = {
    "Anthropic: signed text in pieces": (
        [told_twice("I"), told_twice(" think"), told_twice("."), {"reasoning_details": [detail(signature="U0lH")]}],
        "I think.",
        {"reasoning_details": [detail("I think.", "U0lH")]},
    ),
    "Anthropic: signature null in every piece": (
        [
            {"reasoning": "ha", "reasoning_details": [{**detail("ha"), "signature": None}]},
            {"reasoning": "ha", "reasoning_details": [{**detail("ha"), "signature": None}]},
            {"reasoning_details": [detail("", "U0lH")]},
        ],
        "haha",
        {"reasoning_details": [detail("haha", "U0lH")]},
    ),
    "Anthropic: details only": (
        [
            {"reasoning_details": [detail("ha")]},
            {"reasoning_details": [detail("ha")]},
            {"reasoning_details": [detail("!")]},
        ],
        "haha!",
        {"reasoning_details": [detail("haha!")]},
    ),
    "Anthropic: the whole text again with its signature": (
        [
            {"reasoning_details": [detail("I")]},
            {"reasoning_details": [detail(" think")]},
            {"reasoning_details": [detail("I think", "U0lH")]},
        ],
        "I think",
        {"reasoning_details": [detail("I think", "U0lH")]},
    ),
    "Anthropic: two blocks": (
        [
            told_twice("One"),
            {"reasoning_details": [detail(signature="UzE=")]},
            told_twice("Two"),
            {"reasoning_details": [detail(signature="UzI=")]},
        ],
        "OneTwo",
        {"reasoning_details": [detail("One", "UzE="), detail("Two", "UzI=")]},
    ),
    "Anthropic: two blocks by index": (
        [
            {"reasoning_details": [detail("One")]},
            {"reasoning_details": [detail("Two", index=1)]},
            {"reasoning_details": [detail(signature="UzI=", index=1)]},
            {"reasoning_details": [detail(signature="UzE=")]},
        ],
        "OneTwo",
        {"reasoning_details": [detail("One", "UzE="), detail("Two", "UzI=", index=1)]},
    ),
    "Gemini: encrypted beside text": (
        [told_twice("I think"), {"reasoning_details": [GEMINI]}],
        "I think",
        {"reasoning_details": [detail("I think"), GEMINI]},
    ),
    "OpenAI: a summary in pieces, then encrypted": (
        [
            {"reasoning": "I ", "reasoning_details": [{**SUMMARY, "summary": "I "}]},
            {"reasoning": "think.", "reasoning_details": [{**SUMMARY, "summary": "think."}]},
            {"reasoning_details": [ENCRYPTED]},
        ],
        "I think.",
        {"reasoning_details": [SUMMARY, ENCRYPTED]},
    ),
    "OpenAI: two encrypted blocks": (
        [{"reasoning_details": [ENCRYPTED]}, {"reasoning_details": [{**ENCRYPTED, "data": "REVG", "id": "rs_2"}]}],
        "",
        {"reasoning_details": [ENCRYPTED, {**ENCRYPTED, "data": "REVG", "id": "rs_2"}]},
    ),
    "Kimi and DeepSeek: reasoning_content": (
        [{"reasoning_content": "I "}, {"reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think."},
    ),
    "the same text under both names": (
        [{"reasoning": "I ", "reasoning_content": "I "}, {"reasoning": "think.", "reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think."},
    ),
    "the same text in all three forms": (
        [{**told_twice("I "), "reasoning_content": "I "}, {**told_twice("think."), "reasoning_content": "think."}],
        "I think.",
        {"reasoning_content": "I think.", "reasoning_details": [detail("I think.")]},
    ),
    "the whole text again, as blocks, at the end": (
        [{"reasoning": "I "}, {"reasoning": "think."}, {"reasoning_details": [detail("I think.")]}],
        "I think.",
        {"reasoning_details": [detail("I think.")]},
    ),
    "Anthropic: the second block's whole text again with its signature": (
        [
            {"reasoning_details": [detail("One", "UzE=")]},
            {"reasoning_details": [detail("Tw", index=1)]},
            {"reasoning_details": [detail("o", index=1)]},
            {"reasoning_details": [detail("Two", "UzI=", index=1)]},
        ],
        "OneTwo",
        {"reasoning_details": [detail("One", "UzE="), detail("Two", "UzI=", index=1)]},
    ),
    "the forms take turns, with the same text": (
        [
            {"reasoning": "I "},
            {"reasoning_details": [detail("I ")]},
            {"reasoning": "think"},
            {"reasoning_details": [detail("th")]},
            {"reasoning_details": [detail("ink.")]},
            {"reasoning": "."},
        ],
        "I think.",
        {"reasoning_details": [detail("I think.")]},
    ),
    "what came in both forms is said again in one": (
        [told_twice("ha"), {"reasoning_details": [detail("ha")]}],
        "haha",
        {"reasoning_details": [detail("haha")]},
    ),
    "another text that begins alike": (
        [{"reasoning": "I "}, {"reasoning": "think."}, {"reasoning_details": [detail("I look.")]}],
        "I think.I look.",
        {"reasoning_details": [detail("I look.")]},
    ),
    "one form lags behind": (
        [{"reasoning": "I "}, {"reasoning": "think"}, {"reasoning": ".", "reasoning_content": "I think."}],
        "I think.",
        {"reasoning_content": "I think."},
    ),
    "blocks without an index, text on both sides of a hidden one": (
        [{"reasoning_details": [TEXT]}, {"reasoning_details": [HIDDEN]}, {"reasoning_details": [TEXT]}],
        "ha" * 2,
        {"reasoning_details": [TEXT, HIDDEN, TEXT]},
    ),
    "plain": ([{"reasoning": "I "}, {"reasoning": "think."}], "I think.", {"reasoning": "I think."}),
    "none": ([{"reasoning": None, "reasoning_details": None, "reasoning_content": ""}], "", {}),
}


@pytest.mark.parametrize("form", REASONING)
def test_reasoning_is_read_once_and_goes_back_whole(form: str) -> None:
    deltas, text, replay = REASONING[form]
    answer = read_stream(*deltas, {"content": "Yes."})
    assert (answer.text, answer.reasoning, answer.replay) == ("Yes.", text, replay)
    whole = read_whole({"content": "Yes.", **({"reasoning": text} if text else {}), **replay})
    assert (whole.reasoning, whole.replay, whole.reasoning_details) == (text, replay, answer.reasoning_details)


def test_long_reasoning_in_details_alone_is_not_read_over_and_over() -> None:
    answer = read_stream(*({"reasoning_details": [detail("word ")]} for _ in range(20_000)))
    assert answer.reasoning == "word " * 20_000


def test_text_beside_reasoning_in_one_piece_loses_neither() -> None:
    answer = read_stream({"content": "So.", "reasoning": "Hm."}, {"content": "Yes.", "reasoning_content": "Ah."})
    assert (answer.text, answer.reasoning) == ("So.Yes.", "Hm.Ah.")
