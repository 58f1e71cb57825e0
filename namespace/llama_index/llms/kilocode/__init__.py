"""The Kilo Gateway's LLM, under LlamaIndex's own name for it."""

from llama_index_kilocode.llms import KiloCode

__all__ = ["KiloCode"]
