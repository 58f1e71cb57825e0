"""The model names that editors offer. Written by `make known-models`; `.ci/known_models.py` says which go in.

Wherever one of them is offered any other string is allowed, and nothing is checked against them when a program runs.
"""

from __future__ import annotations

from typing import Literal

KnownModel = Literal[
    "anthropic/claude-haiku-4.5",
    "anthropic/claude-opus-4.7",
    "anthropic/claude-sonnet-4",
    "anthropic/claude-sonnet-4.6",
    "deepseek/deepseek-v3.2",
    "google/gemini-2.5-flash",
    "google/gemini-3-pro-preview",
    "google/gemini-3.1-pro-preview",
    "kilo-auto/balanced",
    "kilo-auto/efficient",
    "kilo-auto/free",
    "kilo-auto/frontier",
    "kilo-auto/small",
    "kilo/auto",
    "minimax/minimax-m2.7",
    "moonshotai/kimi-k2.5",
    "nvidia/nemotron-3-ultra-550b-a55b:free",
    "openai/gpt-5.4",
    "openai/gpt-5.4-mini",
    "openrouter/free",
    "poolside/laguna-s-2.1:free",
    "poolside/laguna-xs-2.1:free",
    "stepfun/step-3.7-flash:free",
    "x-ai/grok-4",
    "x-ai/grok-code-fast-1",
]
"""Chat models: `kilo/auto` and its family, and those that the gateway's documentation names."""

KnownEmbeddingModel = Literal[
    "baai/bge-base-en-v1.5",
    "baai/bge-large-en-v1.5",
    "baai/bge-m3",
    "google/gemini-embedding-001",
    "intfloat/e5-base-v2",
    "intfloat/e5-large-v2",
    "intfloat/multilingual-e5-large",
    "mistralai/codestral-embed-2505",
    "openai/text-embedding-3-large",
    "openai/text-embedding-3-small",
    "openai/text-embedding-ada-002",
    "perplexity/pplx-embed-v1-0.6b",
    "perplexity/pplx-embed-v1-4b",
    "qwen/qwen3-embedding-4b",
    "qwen/qwen3-embedding-8b",
    "sentence-transformers/all-minilm-l12-v2",
    "sentence-transformers/all-minilm-l6-v2",
    "sentence-transformers/all-mpnet-base-v2",
    "sentence-transformers/multi-qa-mpnet-base-dot-v1",
    "sentence-transformers/paraphrase-minilm-l6-v2",
    "thenlper/gte-base",
    "thenlper/gte-large",
]
"""Embedding models: those that the gateway lists."""

KnownFIMModel = Literal[
    "inception/mercury-edit-2",
    "mistralai/codestral-2508",
]
"""Models that fill gaps in code."""
