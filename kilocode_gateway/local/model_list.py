"""The models that the local gateway offers: entries of the gateway's shape, written for it, with all their oddities."""

from __future__ import annotations

from typing import Any

_TOOLS = ["tools", "tool_choice", "max_tokens", "temperature", "top_p", "stop"]
_REASONING = ["reasoning", "include_reasoning"]
_STRUCTURED = ["response_format", "structured_outputs"]
_AUTO = ["max_tokens", "temperature", "tools", "reasoning", "include_reasoning"]
_IMAGES = ["text", "image"]


def _entry(  # noqa: PLR0917 - a row of a table: id, name, context, output, price, parameters, inputs
    id_: str,
    name: str,
    context: int,
    most: int | None,
    price: tuple[str, str] | tuple[str, str, str],
    parameters: list[str],
    inputs: list[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    pricing = {"prompt": price[0], "completion": price[1], **({"input_cache_read": price[2]} if len(price) > 2 else {})}  # noqa: PLR2004 - read price
    inputs = inputs or ["text"]
    return {
        "id": id_,
        "name": name,
        "created": 1_760_000_000,
        "description": f"{name}, as the local gateway imitates it.",
        "context_length": context,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->text",
            "input_modalities": inputs,
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "top_provider": {"is_moderated": False, "context_length": context, "max_completion_tokens": most},
        "pricing": pricing,
        "per_request_limits": None,
        "supported_parameters": parameters,
        "isFree": all(float(part) == 0 for part in price),
        "mayTrainOnYourPrompts": id_.endswith(":free") or id_ == "kilo-auto/free",
        **more,
    }


def _auto(id_: str, name: str, context: int, most: int, price: tuple[str, str], **more: Any) -> dict[str, Any]:
    inputs = {"kilo-auto/free": ["text"], "kilo-auto/frontier": [*_IMAGES, "pdf"]}.get(id_, _IMAGES)
    return _entry(id_, name, context, most, price, _AUTO, inputs, **{"created": 0, **more})


_EFFORTS = {
    "opencode": {
        "family": "claude",
        "variants": {
            effort: {"reasoning": {"enabled": True, "effort": effort}, "verbosity": effort}
            for effort in ("low", "medium", "high", "xhigh", "max")
        },
    }
}
_CLAUDE = [*_TOOLS, *_REASONING, *_STRUCTURED, "verbosity"]

FAMILY = [
    _auto(
        "kilo-auto/efficient",
        "Auto Efficient",
        1_000_000,
        65_536,
        ("-1", "-1"),
        autoRouting={"models": ["z-ai/glm-4.7-flash"]},
        preferredIndex=0,
    ),
    _auto("kilo-auto/balanced", "Auto Balanced", 1_000_000, 65_536, ("-1", "-1"), preferredIndex=1),
    _auto("kilo-auto/frontier", "Auto Frontier", 1_000_000, 128_000, ("-1", "-1"), preferredIndex=2),
    _auto("kilo-auto/free", "Auto Free", 256_000, 32_768, ("0", "0"), preferredIndex=3),
    _auto("kilo-auto/small", "Auto Small", 262_144, 32_768, ("0.00000005", "0.0000004")),
]
"""The newest gateway's own entries."""

ELDER = [_auto("kilo/auto", "Kilo: Auto", 1_000_000, 64_000, ("0.000001", "0.000001"), preferredIndex=0)]
"""What stood in their place in February 2026."""

MODELS = [
    _entry(
        "anthropic/claude-opus-4.7",
        "Anthropic: Claude Opus 4.7",
        1_000_000,
        128_000,
        ("0.000005", "0.000025", "0.0000005"),
        _CLAUDE,
        [*_IMAGES, "pdf"],
        **_EFFORTS,
    ),
    _entry(
        "anthropic/claude-sonnet-4.6",
        "Anthropic: Claude Sonnet 4.6",
        1_000_000,
        64_000,
        ("0.000003", "0.000015", "0.0000003"),
        _CLAUDE,
        [*_IMAGES, "pdf"],
        **_EFFORTS,
    ),
    _entry(
        "anthropic/claude-opus-4.6",
        "Anthropic: Claude Opus 4.6",
        1_000_000,
        128_000,
        ("0.000005", "0.000025", "0.0000005"),
        _CLAUDE,
        [*_IMAGES, "pdf"],
    ),
    _entry(
        "anthropic/claude-haiku-4.5",
        "Anthropic: Claude Haiku 4.5",
        200_000,
        64_000,
        ("0.000001", "0.000005", "0.0000001"),
        _CLAUDE,
        _IMAGES,
    ),
    _entry(
        "openai/gpt-5.4",
        "OpenAI: GPT-5.4",
        400_000,
        128_000,
        ("0.0000025", "0.000015", "0.00000025"),
        [*_TOOLS, *_REASONING, *_STRUCTURED, "seed"],
        [*_IMAGES, "file", "pdf"],
    ),
    _entry(
        "openai/gpt-5.4-mini",
        "OpenAI: GPT-5.4 Mini",
        400_000,
        128_000,
        ("0.00000025", "0.000002"),
        [*_TOOLS, *_REASONING, *_STRUCTURED],
        [*_IMAGES, "file"],
    ),
    _entry(
        "openai/gpt-4o-mini",
        "OpenAI: GPT-4o Mini",
        128_000,
        16_384,
        ("0.00000015", "0.0000006"),
        [*_TOOLS, *_STRUCTURED, "logprobs"],
        _IMAGES,
    ),
    _entry(
        "openai/o3",
        "OpenAI: o3",
        200_000,
        100_000,
        ("0.000002", "0.000008"),
        [*_TOOLS, *_REASONING, *_STRUCTURED],
        _IMAGES,
    ),
    _entry(
        "google/gemini-3.1-pro-preview",
        "Google: Gemini 3.1 Pro Preview",
        1_048_576,
        65_536,
        ("0.000002", "0.000012"),
        [*_TOOLS, *_REASONING, *_STRUCTURED],
        ["text", "image", "file", "audio", "video", "pdf"],
    ),
    _entry(
        "x-ai/grok-4",
        "xAI: Grok 4",
        256_000,
        None,
        ("0.000003", "0.000015"),
        [*_TOOLS, *_REASONING, *_STRUCTURED],
        _IMAGES,
    ),
    _entry(
        "moonshotai/kimi-k2.5",
        "MoonshotAI: Kimi K2.5",
        262_144,
        262_144,
        ("0.0000005", "0.0000028"),
        [*_TOOLS, *_REASONING],
        _IMAGES,
    ),
    _entry(
        "deepseek/deepseek-v3.2",
        "DeepSeek: DeepSeek V3.2",
        163_840,
        65_536,
        ("0.00000027", "0.0000004"),
        [*_TOOLS, *_REASONING, "response_format"],
    ),
    _entry(
        "mistralai/mistral-large-2512",
        "Mistral: Mistral Large 3",
        262_144,
        None,
        ("0.0000005", "0.0000015"),
        [*_TOOLS, *_STRUCTURED],
        _IMAGES,
    ),
    _entry(
        "z-ai/glm-4.7-flash",
        "Z.AI: GLM 4.7 Flash",
        200_000,
        131_072,
        ("0.00000007", "0.0000004"),
        [*_TOOLS, *_REASONING],
    ),
    _entry(
        "google/gemma-4-26b-a4b-it",
        "Google: Gemma 4 26B",
        262_144,
        32_768,
        ("0.00000008", "0.00000035"),
        [*_TOOLS, *_REASONING],
        _IMAGES,
    ),
    _entry(
        "stepfun/step-3.7-flash:free",
        "StepFun: Step 3.7 Flash (free)",
        256_000,
        256_000,
        ("0", "0"),
        [*_TOOLS, *_REASONING],
    ),
    _entry(
        "local/small-context", "Local: Small Context", 8_192, 4_096, ("0.0000001", "0.0000002"), [*_TOOLS, *_STRUCTURED]
    ),
    _entry(
        "local/no-tools",
        "Local: No Tools",
        32_768,
        8_192,
        ("0.0000001", "0.0000001"),
        ["max_tokens", "temperature", "response_format"],
    ),
    {
        "id": "local/odd",
        "name": "Local: Odd ($$$$)",
        "context_length": 65_536,
        "architecture": {"modality": None, "input_modalities": ["text"], "output_modalities": ["text"]},
        "top_provider": {"is_moderated": True, "context_length": None, "max_completion_tokens": None},
        "pricing": {"prompt": "-1", "completion": "-1", "discount": 0},
        "supported_parameters": [],
        "isFree": False,
    },
]
"""The models that every dialect knows."""

LEGACY = frozenset({"gpt-4o", "gpt-4o-mini", "gpt-5", "o3", "claude-sonnet-4.5", "kimi-k3"})
"""Bare ids that the newest gateway still takes."""

ENDED = frozenset({"x-ai/grok-code-fast-1:optimized:free"})
"""Alpha models whose time is over."""

EMBEDDING_MODELS: dict[str, tuple[int, bool]] = {
    "openai/text-embedding-3-small": (1536, True),
    "openai/text-embedding-3-large": (3072, True),
    "openai/text-embedding-ada-002": (1536, False),
    "mistralai/codestral-embed-2505": (1536, False),
    "google/gemini-embedding-001": (3072, True),
    "qwen/qwen3-embedding-8b": (4096, True),
    "baai/bge-m3": (1024, False),
    "thenlper/gte-base": (768, False),
    "sentence-transformers/all-minilm-l6-v2": (384, False),
}
"""Id -> dimension, and whether a smaller one may be asked for."""

_ALIASES = {
    "text-embedding-3-small": "openai/text-embedding-3-small",
    "text-embedding-3-large": "openai/text-embedding-3-large",
}


def embedding_catalog() -> dict[str, Any]:
    """Give the answer of GET embedding-models."""
    models = [
        {
            "id": id_,
            "name": id_.partition("/")[2],
            "dimension": dimension,
            "scoreThreshold": 0.4,
            **({} if selectable else {"dimensionMode": "fixed"}),
        }
        for id_, (dimension, selectable) in EMBEDDING_MODELS.items()
    ]
    return {"defaultModel": "openai/text-embedding-3-small", "models": models, "aliases": _ALIASES}


def is_free(entry: dict[str, Any] | None, id_: str) -> bool:
    """Say whether a model costs nothing, by its entry or its id."""
    return bool(id_.endswith(":free") or id_ in ("openrouter/free", "kilo-auto/free") or (entry or {}).get("isFree"))


def resolve(id_: str, mode: str | None) -> str:
    """Give the model that serves an automatic one; other ids stay."""
    thinking = (mode or "").strip().lower() in {"claw", "plan", "general", "architect", "orchestrator", "ask", "debug"}
    return {
        "kilo/auto": "anthropic/claude-opus-4.6" if thinking else "anthropic/claude-sonnet-4.6",
        "kilo-auto/frontier": "anthropic/claude-opus-4.7" if thinking else "anthropic/claude-sonnet-4.6",
        "kilo-auto/balanced": "z-ai/glm-4.7-flash",
        "kilo-auto/efficient": "z-ai/glm-4.7-flash",
        "kilo-auto/free": "stepfun/step-3.7-flash:free",
        "kilo-auto/small": "google/gemma-4-26b-a4b-it",
    }.get(id_, id_)
