"""The classes' docstrings are their reference pages: every block of code in them runs."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Settings

from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

WITHOUT_EFFECT = {
    *("api_version", "is_chat_model", "reuse_client"),  # of OpenAILike
    *("messages_to_prompt", "output_parser", "pydantic_program_mode", "query_wrapper_prompt"),  # of chats
}
_BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding, KiloCodeFIM])
def test_the_code_of_the_page_runs(
    cls: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-1")
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    blocks = [textwrap.dedent(match[2]) for match in _BLOCK.finditer(inspect.getsource(cls))]
    assert len(blocks) == inspect.getsource(cls).count("```python") >= 2
    place: dict[str, Any] = {"__name__": "page"}
    try:
        for block in blocks:
            exec(compile(block, f"{cls.__name__}.__doc__", "exec", dont_inherit=True), place)
    finally:
        Settings._llm = Settings._embed_model = None
    shown = capsys.readouterr().out
    if cls is KiloCode:
        assert "42" in shown
        assert "six hours" in shown
        assert "claude-nonesuch" in shown
    elif cls is KiloCodeFIM:
        assert "return a + b" in shown
        assert "anthropic/claude-sonnet-4.6" in shown


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding, KiloCodeFIM])
def test_every_field_is_documented(cls: Any) -> None:
    source = "".join(inspect.getsource(parent) for parent in cls.__mro__ if "kilocode" in parent.__module__)
    own = [
        name
        for parent in cls.__mro__
        if "kilocode" in parent.__module__
        for name in vars(parent).get("__annotations__", {})
    ]
    undocumented = [
        name
        for name in own
        if not name.startswith("_") and not re.search(rf'^    {name}: .*\n    """', source, re.MULTILINE)
    ]
    assert undocumented == []


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding, KiloCodeFIM])
def test_the_page_names_every_setting(cls: Any) -> None:
    page = str(cls.__doc__).partition("Key settings")[2].partition("Instantiate")[0]
    settings = {*cls.model_fields, "http_client", "async_http_client"} - WITHOUT_EFFECT
    assert [name for name in sorted(settings) if not re.search(rf"\b{name}\b", page)] == []


def test_the_frameworks_own_import_paths() -> None:
    llms = pytest.importorskip("llama_index.llms.kilocode")
    embeddings = pytest.importorskip("llama_index.embeddings.kilocode")
    assert llms.KiloCode is KiloCode
    assert llms.KiloCodeFIM is KiloCodeFIM
    assert embeddings.KiloCodeEmbedding is KiloCodeEmbedding
