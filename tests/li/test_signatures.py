"""What editors, type checkers and wrong arguments are told of the classes."""

from __future__ import annotations

from typing import Any

import pytest

from kilocode_gateway import wire
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM, fim
from llama_index_kilocode._settings import PER_CALL, KiloCodeCallSettings, KiloCodeSettings
from llama_index_kilocode.embeddings import KiloCodeEmbeddingSettings
from llama_index_kilocode.fim import KiloCodeFIMCallSettings, KiloCodeFIMSettings

OF_CHATS = ["messages_to_prompt", "output_parser", "pydantic_program_mode", "query_wrapper_prompt"]


def test_editors_know_every_setting() -> None:
    # They may know more than an older framework has.
    clients = {"http_client", "async_http_client"}
    fields = {*KiloCode.model_fields, *wire.NAMES, *clients}
    assert set(KiloCodeSettings.__annotations__) >= fields - {"model", "stream"}
    assert set(KiloCodeFIMSettings.__annotations__) >= {*KiloCodeFIM.model_fields, *clients} - {"model", *OF_CHATS}
    names = {*KiloCodeEmbedding.model_fields, *clients, "model"}
    assert set(KiloCodeEmbeddingSettings.__annotations__) >= names - {"model_name"}


def test_editors_know_every_setting_of_a_call() -> None:
    assert set(KiloCodeCallSettings.__annotations__) == {*wire.NAMES, *PER_CALL} - {"stream"}
    assert set(KiloCodeFIMCallSettings.__annotations__) == fim._PER_CALL


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (KiloCode, KiloCodeSettings),
        (KiloCodeFIM, KiloCodeFIMSettings),
        (KiloCodeEmbedding, KiloCodeEmbeddingSettings),
    ],
)
def test_none_is_taken_where_editors_say_so(cls: Any, settings: Any) -> None:
    may_be_none = [name for name, given in settings.__annotations__.items() if "None" in given.__forward_arg__]
    assert may_be_none
    for name in may_be_none:
        cls(**{name: None})


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeFIM, KiloCodeEmbedding])
def test_only_the_model_has_no_name(cls: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.__init__\(\) takes from 1 to 2 positional"):
        cls("openai/gpt-5.4", "test-key-1")


def test_when_a_program_runs_every_string_is_a_model() -> None:
    for cls, name in ((KiloCode, "model"), (KiloCodeFIM, "model"), (KiloCodeEmbedding, "model_name")):
        assert cls.model_fields[name].annotation is str
        assert cls.model_json_schema()["properties"][name]["type"] == "string"
    assert KiloCode.model_fields["fallback_models"].annotation == list[str] | None
