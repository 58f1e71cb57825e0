"""The models that are known without asking: `kilo/auto` and its family, and the embedding models.

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

_SELECTABLE = {
    "openai/text-embedding-3-small": 1536,
    "openai/text-embedding-3-large": 3072,
    "google/gemini-embedding-001": 3072,
    "qwen/qwen3-embedding-8b": 4096,
    "qwen/qwen3-embedding-4b": 2560,
    "perplexity/pplx-embed-v1-4b": 2560,
    "perplexity/pplx-embed-v1-0.6b": 1024,
}
_FIXED = {
    "openai/text-embedding-ada-002": 1536,
    "mistralai/codestral-embed-2505": 1536,
    "baai/bge-m3": 1024,
    "baai/bge-large-en-v1.5": 1024,
    "baai/bge-base-en-v1.5": 768,
    "thenlper/gte-large": 1024,
    "thenlper/gte-base": 768,
    "intfloat/e5-large-v2": 1024,
    "intfloat/e5-base-v2": 768,
    "intfloat/multilingual-e5-large": 1024,
    "sentence-transformers/all-mpnet-base-v2": 768,
    "sentence-transformers/multi-qa-mpnet-base-dot-v1": 768,
    "sentence-transformers/all-minilm-l12-v2": 384,
    "sentence-transformers/all-minilm-l6-v2": 384,
    "sentence-transformers/paraphrase-minilm-l6-v2": 384,
}

EMBEDDINGS: dict[str, Any] = {
    "defaultModel": "openai/text-embedding-3-small",
    "models": [
        {
            "id": id_,
            "name": id_.partition("/")[2],
            "dimension": dimension,
            **({"dimensionMode": "fixed"} if id_ in _FIXED else {}),
        }
        for id_, dimension in {**_SELECTABLE, **_FIXED}.items()
    ],
    "aliases": {
        "text-embedding-3-small": "openai/text-embedding-3-small",
        "text-embedding-3-large": "openai/text-embedding-3-large",
        "text-embedding-ada-002": "openai/text-embedding-ada-002",
        "codestral-embed-2505": "mistralai/codestral-embed-2505",
    },
}
"""A list of the shape of `/embedding-models`: how many numbers each model gives, and which give no other length."""
