"""LangChain on the Kilo Gateway: a chat model, embeddings, and a model that fills gaps in code."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("langchain_core") is None or find_spec("langchain_openai") is None:
    raise ImportError(
        "langchain_kilocode needs LangChain, which is missing: run pip install 'kilocode-gateway[langchain]'",
        name=__name__,
    )

from langchain_kilocode._register import register
from langchain_kilocode._settings import ProviderRouting, Reasoning
from langchain_kilocode.chat_models import ChatKiloCode
from langchain_kilocode.embeddings import KiloCodeEmbeddings
from langchain_kilocode.errors import AnswerRefusedError, AnswerTruncatedError, StructuredOutputError
from langchain_kilocode.fim import KiloCodeFIM

__all__ = [
    "AnswerRefusedError",
    "AnswerTruncatedError",
    "ChatKiloCode",
    "KiloCodeEmbeddings",
    "KiloCodeFIM",
    "ProviderRouting",
    "Reasoning",
    "StructuredOutputError",
    "register",
]
