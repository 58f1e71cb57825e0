"""The LlamaIndex classes that the table compares, each with its own spelling and its own documented settings."""

from __future__ import annotations

from typing import Any

from benchmarks.probing import Subject, in_extra_body, plainly

HEADERS = {"mode": "x-kilocode-mode", "task_id": "x-kilocode-taskid", "organization_id": "x-kilocode-organizationid"}
"""What the gateway reads from headers: setting -> header."""
WINDOWS = {"small": 8_000, "large": 1_000_000}
"""The context windows of the models that long texts are asked about."""


def _in_additional_kwargs(name: str, value: Any) -> dict[str, Any]:
    if name == "context_window":
        return {name: value}
    if name in HEADERS:
        return {"default_headers": {HEADERS[name]: value}}
    return {"additional_kwargs": {"extra_body": {name: value}}}


def _in_call(name: str, value: Any) -> dict[str, Any]:
    return {"extra_headers": {HEADERS[name]: value}} if name in HEADERS else in_extra_body(name, value)


def _by_openrouter(name: str, value: Any) -> dict[str, Any]:
    if name == "provider" and isinstance(value, dict) and {"order", "allow_fallbacks"}.issuperset(value):
        return dict(value)
    return _in_additional_kwargs(name, value)


_CALLS_TOOLS = [{"is_function_calling_model": True}]
_NO_TOOLS = [{"is_function_calling_model": False}]
_BY_SCHEMA = [{"should_use_structured_outputs": True, "is_function_calling_model": False}]
_SMALL = [{"context_window": WINDOWS["small"]}]
_LARGE = [{"context_window": WINDOWS["large"]}]
_TIMEOUT = [{"timeout": 0.5}]
_USAGE = [{"additional_kwargs": {"stream_options": {"include_usage": True}}}]
_OF_THE_BASE: dict[str, list[dict[str, Any]]] = {
    "told_of_no_chat": [{"is_chat_model": True}],
    "told_of_no_tools_agent": _CALLS_TOOLS,
    "told_of_no_tools_workflow": _CALLS_TOOLS,
    "told_of_no_tools_call": _CALLS_TOOLS,
    "router_untold": _CALLS_TOOLS,
    "effort": [{"additional_kwargs": {"reasoning_effort": "high"}}],
    "no_output_limit": [{"max_tokens": None}],
    "free_output": [{"max_tokens": None}],
    "object_untold": [*_NO_TOOLS, *_BY_SCHEMA],
    "object_by_the_catalog": _BY_SCHEMA,
    "first_token": _TIMEOUT,
    "total": _TIMEOUT,
    "memory_large": _LARGE,
    "conversation_small": _SMALL,
    "conversation_large": _LARGE,
    "summary_small": _SMALL,
    "summary_large": _LARGE,
    **{f"{mode}_small": _SMALL for mode in ("compact", "refine", "tree")},
    **{f"{mode}_large": _LARGE for mode in ("compact", "refine", "tree")},
    "foreign_identifiers": [{"default_headers": {"OpenAI-Organization": "", "OpenAI-Project": ""}}],
    "usage": _USAGE,
    "counted": _USAGE,
    "agent_usage": _USAGE,
    "counted_in_engines": _USAGE,
    "several_loops": [{"reuse_client": False}],
    "copied_after_use": [{"reuse_client": False}],
    "new_key_in_copy": [{"reuse_client": False}],
    "new_key_assigned": [{"reuse_client": False}],
}

SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "OpenAILike",
            "llama_index.llms.openai_like",
            spelt=_in_additional_kwargs,
            spelt_in_call=_in_call,
            always={"is_chat_model": True, "is_function_calling_model": True},
            tries=_OF_THE_BASE,
            beside={"variable": "OPENAI_API_KEY"},
        ),
        Subject(
            "OpenRouter",
            "llama_index.llms.openrouter",
            spelt=_by_openrouter,
            spelt_in_call=_in_call,
            always={"is_function_calling_model": True},
            tries=_OF_THE_BASE,
            beside={"variable": "OPENROUTER_API_KEY"},
        ),
        Subject(
            "KiloCode",
            "llama_index_kilocode",
            spelt=plainly,
            spelt_in_call=plainly,
            beside={
                "variable": "KILOCODE_API_KEY",
                "usage": "kilocode_gateway:track_usage",
                "loader": "llama_index_kilocode:register",
            },
        ),
    )
}
"""Each class by its name, in the order of the columns."""
