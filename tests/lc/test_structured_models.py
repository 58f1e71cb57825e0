"""How structured output is asked for follows the models that may answer, whatever says which they are."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from langchain_kilocode import ChatKiloCode


class Point(BaseModel):
    """A point."""

    x: int


LISTED = {
    "vendor/tools": ["tools", "tool_choice"],
    "vendor/both": ["tools", "response_format", "structured_outputs"],
    "vendor/schema": ["response_format", "structured_outputs"],
    "vendor/json": ["response_format"],
}


@pytest.fixture
def gateway(make_gateway: Any) -> Any:
    """Give a gateway whose list of models nobody has read."""
    return make_gateway(
        models=[
            {"id": id_, "context_length": 9_000, "supported_parameters": parameters}
            for id_, parameters in LISTED.items()
        ]
    )


CALLS = {
    "by the model": ({"model": "vendor/schema"}, {}, "json_schema"),
    "by model_kwargs": ({"model_kwargs": {"model": "vendor/json"}}, {}, "json_object"),
    "by the call": ({}, {"model": "vendor/json"}, "json_object"),
    "by a fallback": ({"model": "vendor/both", "fallback_models": ["vendor/schema"]}, {}, "json_schema"),
    "by the weaker of both": ({"model": "vendor/both", "fallback_models": ["vendor/json"]}, {}, "json_object"),
    "by a fallback of the call": ({"model": "vendor/both"}, {"fallback_models": ["vendor/json"]}, "json_object"),
    "without the fallback": ({"fallback_models": ["vendor/json"]}, {"fallback_models": None}, "tools"),
    "by none that is known": ({"model": "nobody/knows"}, {}, "tools"),
    "by the one that is known": ({"model": "nobody/knows", "fallback_models": ["vendor/json"]}, {}, "json_object"),
    "by nothing common": ({"fallback_models": ["vendor/schema"]}, {}, "tools"),
}


def _method(model: Any, /, **call: Any) -> str:
    bound = model.with_structured_output(Point, **call).first.kwargs
    return "tools" if "tools" in bound else str(bound["response_format"]["type"])


@pytest.mark.parametrize("case", CALLS)
async def test_the_models_that_may_answer_decide(gateway: Any, case: str) -> None:
    settings, call, expected = CALLS[case]
    settings = {"model": "vendor/tools", "api_key": "test-key-1", "base_url": gateway.base_url, **settings}
    assert _method(ChatKiloCode(**settings), **call) == expected


@pytest.mark.parametrize("case", CALLS)
def test_and_outside_an_event_loop(gateway: Any, case: str) -> None:
    settings, call, expected = CALLS[case]
    settings = {"model": "vendor/tools", "api_key": "test-key-1", "base_url": gateway.base_url, **settings}
    assert _method(ChatKiloCode(**settings), **call) == expected


@pytest.mark.parametrize(
    ("settings", "call"),
    [
        ({"model": "kilo/auto"}, {}),
        ({"model": "vendor/json"}, {"method": "json_schema"}),
        ({"model": "vendor/json"}, {"tools": [Point]}),
    ],
)
def test_the_list_is_read_only_where_it_decides(gateway: Any, settings: Any, call: Any) -> None:
    _method(ChatKiloCode(api_key="test-key-1", base_url=gateway.base_url, **settings), **call)
    assert gateway.requests == []
