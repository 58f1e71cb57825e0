"""The Kilo Gateway's embeddings, under LlamaIndex's own name for them."""

from llama_index_kilocode.embeddings import KiloCodeEmbedding

__all__ = ["KiloCodeEmbedding"]
