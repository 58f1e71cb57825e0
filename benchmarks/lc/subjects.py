"""The classes that the capability table compares, each with its own spelling and its own documented settings."""

from __future__ import annotations

from typing import Any

from benchmarks.probing import MODEL, UNSET, Subject, in_extra_body, plainly


def _count(text: str) -> list[int]:
    return list(range(len(text) // 4 + 1))


_STREAM_USAGE = [{"stream_usage": True}]
_CHAT_ONLY = [{"use_responses_api": False}]
_COUNT = [{"custom_get_token_ids": _count}]
_PROFILE = [{"profile": {"max_input_tokens": 200_000}}]


def _by_openrouter(name: str, value: Any) -> dict[str, Any]:
    return {"openrouter_provider" if name == "provider" else name: value}


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "ChatOpenAI",
            "langchain_openai",
            spelt=in_extra_body,
            spelt_in_call=in_extra_body,
            tries={
                "usage_in_streams": _STREAM_USAGE,
                "one_chunk_with_usage": _STREAM_USAGE,
                "token_details": _STREAM_USAGE,
                "cost_in_streams": _STREAM_USAGE,
                "served_model": _STREAM_USAGE,
                "finish_told_twice": _STREAM_USAGE,
                "codex_names": _CHAT_ONLY,
                "server_tools": _CHAT_ONLY,
                "output_limit": [{"max_tokens": UNSET, "extra_body": {"max_tokens": 77}}],
                "token_counting": _COUNT,
                "summarization": _PROFILE,
                "limit_under_comments": [{"timeout": 1.0}, {"stream_chunk_timeout": 1.0}],
                "foreign_identifiers": [{"default_headers": {"OpenAI-Organization": "", "OpenAI-Project": ""}}],
                "responses_api": [{"use_responses_api": True}],
            },
        ),
        Subject(
            "ChatOpenRouter",
            "langchain_openrouter",
            spelt=_by_openrouter,
            spelt_in_call=plainly,
            tries={
                "token_counting": _COUNT,
                "summarization": _PROFILE,
                "foreign_identifiers": [{"session_id": ""}],
                "limit_under_comments": [{"timeout": 1000}],
            },
        ),
        Subject(
            "ChatKiloCode",
            "langchain_kilocode",
            spelt=plainly,
            spelt_in_call=plainly,
            tries={
                "limit_under_comments": [{"timeout": 1.0}, {"first_token_timeout": 1.0}, {"total_timeout": 1.0}],
                "another_model": [{"fallback_models": [f"{MODEL}-second"]}],
            },
        ),
    )
}
"""Each class by its name, in the order of the columns."""
