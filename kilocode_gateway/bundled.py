"""The models that are known without asking: `kilo/auto` and its family.

They fill in for what could not be discovered. Source: the gateway's server source of autumn 2026. Most prices vary with
the model that the gateway chooses, and so are unknown.
"""

from __future__ import annotations

from typing import Any

_PARAMETERS = ("max_tokens", "temperature", "tools", "reasoning", "include_reasoning")


def _entry(
    id_: str, name: str, context: int, output: int, *inputs: str, prices: tuple[str, str] = ("-1", "-1"), **more: str
) -> dict[str, Any]:
    return {
        "id": id_,
        "name": name,
        "created": 0,
        "context_length": context,
        "architecture": {"input_modalities": list(inputs), "output_modalities": ["text"], "tokenizer": "Other"},
        "top_provider": {"is_moderated": False, "context_length": context, "max_completion_tokens": output},
        "pricing": {"prompt": prices[0], "completion": prices[1], **more},
        "supported_parameters": list(_PARAMETERS),
        "isFree": prices == ("0", "0"),
    }


ENTRIES: tuple[dict[str, Any], ...] = (
    _entry("kilo/auto", "Kilo Auto", 1_000_000, 128_000, "text", "image"),
    _entry("kilo-auto/frontier", "Auto Frontier", 1_000_000, 128_000, "text", "image", "pdf"),
    _entry("kilo-auto/balanced", "Auto Balanced", 1_000_000, 65_536, "text", "image"),
    _entry("kilo-auto/efficient", "Auto Efficient", 1_000_000, 65_536, "text", "image"),
    _entry("kilo-auto/free", "Auto Free", 256_000, 32_768, "text", prices=("0", "0")),
    _entry(
        "kilo-auto/small",
        "Auto Small",
        262_144,
        32_768,
        "text",
        "image",
        prices=("0.00000005", "0.0000004"),
        input_cache_read="0.000000005",
    ),
)
"""Entries of the shape of `/models`, in the order in which they are listed."""
