"""The Kilo Gateway's LLMs, under LlamaIndex's own name for them."""

from llama_index_kilocode.fim import KiloCodeFIM
from llama_index_kilocode.llms import KiloCode

__all__ = ["KiloCode", "KiloCodeFIM"]
