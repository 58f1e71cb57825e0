"""What editors, type checkers and wrong arguments are told of the classes."""

from __future__ import annotations

from typing import Any

import pytest

from kilocode_gateway import wire
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM
from llama_index_kilocode._settings import KiloCodeSettings
from llama_index_kilocode.embeddings import KiloCodeEmbeddingSettings
from llama_index_kilocode.fim import KiloCodeFIMSettings

OF_CHATS = ["messages_to_prompt", "output_parser", "pydantic_program_mode", "query_wrapper_prompt"]


def test_editors_know_every_setting() -> None:
    names = set(KiloCodeSettings.__annotations__)
    assert set(KiloCode.model_fields) - {"model"} <= names
    assert set(wire.NAMES) - {"stream"} <= names
    clients = {"http_client", "async_http_client"}
    assert set(KiloCodeFIMSettings.__annotations__) >= {*KiloCodeFIM.model_fields, *clients} - {"model", *OF_CHATS}
    assert set(KiloCodeEmbeddingSettings.__annotations__) >= {*KiloCodeEmbedding.model_fields, *clients} - {
        "model_name"
    }


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeFIM, KiloCodeEmbedding])
def test_only_the_model_has_no_name(cls: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.__init__\(\) takes from 1 to 2 positional"):
        cls("openai/gpt-5.4", "test-key-1")
