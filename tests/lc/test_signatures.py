"""What editors and type checkers are told of the settings."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kilocode_gateway import wire
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM, _typed, fim
from langchain_kilocode._settings import CALL_NAMES, NOT_HERE

OF_LANGCHAIN = {"ls_structured_output_format", "structured_output_format"}


def _names(cls: Any) -> set[str]:
    fields = {name: field.alias for name, field in cls.model_fields.items() if name not in NOT_HERE}
    return {*fields, *filter(None, fields.values())}


def test_editors_know_every_setting_under_both_names() -> None:
    # They may know more than an older framework has.
    assert set(_typed.ChatSettings.__annotations__) >= {*_names(ChatKiloCode), *wire.NAMES} - {"stream"}
    assert set(_typed.EmbeddingSettings.__annotations__) == _names(KiloCodeEmbeddings)
    assert set(_typed.FIMClassSettings.__annotations__) >= _names(KiloCodeFIM)


def test_editors_know_every_setting_of_a_call() -> None:
    every = {*wire.NAMES, *CALL_NAMES} - OF_LANGCHAIN - {"stream"}
    assert set(_typed.BindSettings.__annotations__) == every
    # `stop` stands in the signature, and `metadata` is LangChain's own there.
    assert set(_typed.CallSettings.__annotations__) == every - {"stop", "metadata"}
    assert set(_typed.FIMCallSettings.__annotations__) == fim._CALL_NAMES - {"stop"}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (ChatKiloCode.bind_tools, _typed.BindToolsSettings),
        (ChatKiloCode.with_structured_output, _typed.StructuredSettings),
    ],
)
def test_editors_know_what_goes_with_tools_and_schemas(method: Any, settings: Any) -> None:
    own = set(inspect.signature(method).parameters)
    assert not own.intersection(settings.__annotations__)
    assert {*own, *settings.__annotations__, "tool_choice", "response_format"} >= set(
        _typed.BindSettings.__annotations__
    )


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (ChatKiloCode, _typed.ChatSettings),
        (KiloCodeEmbeddings, _typed.EmbeddingSettings),
        (KiloCodeFIM, _typed.FIMClassSettings),
    ],
)
def test_none_is_taken_where_editors_say_so(cls: Any, settings: Any) -> None:
    may_be_none = [name for name, given in settings.__annotations__.items() if "None" in given.__forward_arg__]
    assert may_be_none
    for name in may_be_none:
        cls(**{name: None})


def test_when_a_program_runs_every_string_is_a_model() -> None:
    for cls, name in ((ChatKiloCode, "model_name"), (KiloCodeEmbeddings, "model"), (KiloCodeFIM, "model")):
        assert cls.model_fields[name].annotation is str
    assert ChatKiloCode.model_fields["fallback_models"].annotation == list[str] | None
    assert ChatKiloCode(model="acme/unheard-of").model_name == "acme/unheard-of"
