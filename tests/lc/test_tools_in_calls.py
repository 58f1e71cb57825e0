"""Tools that are given to a call, and the forms that no tool can have."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import ModelError

from kilocode_gateway import ConfigurationError

NO_LISTS = [(None, "None"), (5, "int"), ("look", "str"), ({"name": "look"}, "dict")]


@pytest.mark.parametrize(("tools", "named"), NO_LISTS, ids=[named for _, named in NO_LISTS])
def test_tools_that_are_no_list_are_named(model: Any, tools: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Tools must be a list, got {named}. Give one tool alone") as caught:
        model.bind_tools(tools)
    assert isinstance(caught.value, ModelError)
