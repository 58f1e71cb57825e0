"""LlamaIndex on the Kilo Gateway: an LLM and embeddings."""

from __future__ import annotations

from importlib.util import find_spec


def _missing() -> bool:
    """Tell whether a part of LlamaIndex is absent; its namespaces may be there for our own names alone."""
    names = ("llama_index", "llama_index.core", "llama_index.llms", "llama_index.llms.openai_like")
    return any(find_spec(name) is None for name in names)


if _missing():
    raise ImportError(
        "llama_index_kilocode needs LlamaIndex, which is missing: run pip install 'kilocode-gateway[llama-index]'",
        name=__name__,
    )

from llama_index_kilocode._register import register
from llama_index_kilocode.embeddings import KiloCodeEmbedding
from llama_index_kilocode.fim import KiloCodeFIM
from llama_index_kilocode.llms import KiloCode

__all__ = ["KiloCode", "KiloCodeEmbedding", "KiloCodeFIM", "register"]
