"""Every code block of the classes' reference pages runs as it stands."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

import pytest

from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM


@pytest.mark.usefixtures("provider_tables")
@pytest.mark.parametrize("page", [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM])
async def test_code_blocks_run(
    page: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", gateway.api_key)
    blocks = re.findall(r"```python\n(.*?)```", inspect.cleandoc(page.__doc__), flags=re.DOTALL)
    assert len(blocks) > 3
    if page is ChatKiloCode:
        # Inside an event loop the profile is what is at hand.
        await ChatKiloCode().aload()
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        code = compile(textwrap.dedent(block), "<reference page>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    assert gateway.requests
    if page is ChatKiloCode:
        assert "tokens" not in capsys.readouterr().err
