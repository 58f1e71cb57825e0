"""Entries of a gateway's model list: a small and a large window, with and without tools."""

from __future__ import annotations

from typing import Any


def entry(
    model: str, context: int, *, tools: bool = True, parameters: tuple[str, ...] = (), output: int | None = None
) -> dict[str, Any]:
    names = ["max_tokens", "temperature", *(("tools", "tool_choice") if tools else ()), *parameters]
    return {
        "id": model,
        "name": model,
        "created": 0,
        "description": "",
        "context_length": context,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "Other"},
        "top_provider": {"is_moderated": False, "context_length": context, "max_completion_tokens": output},
        "pricing": {"prompt": "0.000001", "completion": "0.000002"},
        "supported_parameters": names,
    }


MODELS = [
    entry("small/model", 8_000, output=8_000),
    entry("large/model", 1_000_000, output=64_000),
    entry("no/tools", 32_000, tools=False, parameters=("response_format",)),
    entry("no/tools-schema", 32_000, tools=False, parameters=("response_format", "structured_outputs")),
]
