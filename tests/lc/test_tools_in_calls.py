"""Tools that are given to a call, and the forms that no tool can have."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from pydantic import BaseModel

from kilocode_gateway import ConfigurationError

T = TypeVar("T")

NO_LISTS = [(None, "None"), (5, "int"), ("look", "str"), ({"name": "look"}, "dict")]


@pytest.mark.parametrize(("tools", "named"), NO_LISTS, ids=[named for _, named in NO_LISTS])
def test_tools_that_are_no_list_are_named(model: Any, tools: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Tools must be a list, got {named}. Give one tool alone") as caught:
        model.bind_tools(tools)
    assert isinstance(caught.value, ModelError)


# Tools of a call


def look(where: str) -> str:
    """Look somewhere."""
    return where


class Box(BaseModel, Generic[T]):
    """Hold something."""

    held: T


@pytest.mark.parametrize("choice", ["any", True, "required", "look"])
async def test_tools_of_a_call_go_as_bound_ones_do(ask: Any, model: Any, gateway: Any, choice: Any) -> None:
    model.bind_tools([look, Box[int]], tool_choice=choice).invoke("Go.")
    bound = gateway.last_request.json
    await ask(model, "Go.", tools=[look, Box[int]], tool_choice=choice)
    sent = gateway.last_request.json
    assert (sent["tools"], sent["tool_choice"]) == (bound["tools"], bound["tool_choice"])
    model.bind(tools=[look, Box[int]], tool_choice=choice).invoke("Go.")
    assert gateway.last_request.json["tools"] == bound["tools"]


async def test_wrong_tools_of_a_call_are_named(ask: Any, model: Any, gateway: Any) -> None:
    for wrong, said in (([5], "A tool must be .* got int"), ("look", "Tools must be a list, got str")):
        with pytest.raises(ConfigurationError, match=said) as caught:
            await ask(model, "Go.", tools=wrong)
        assert isinstance(caught.value, ModelError)
    with pytest.raises(ConfigurationError, match="tool_choice='lok' is none of the tools: look"):
        await ask(model, "Go.", tools=[look], tool_choice="lok")
    assert gateway.requests == []


async def test_choice_of_a_call_among_bound_tools(ask: Any, model: Any, gateway: Any) -> None:
    await ask(model.bind_tools([look]), "Go.", tool_choice="any")
    assert gateway.last_request.json["tool_choice"] == "required"
    await ask(model.bind_tools([look], tool_choice="any"), "Go.", tool_choice=None)
    assert "tool_choice" not in gateway.last_request.json


class Traced(BaseCallbackHandler):
    """Keeps what a trace says of a call."""

    params: dict[str, Any]

    def on_chat_model_start(self, *_: Any, invocation_params: dict[str, Any], **__: Any) -> None:
        self.params = invocation_params


async def test_traces_show_a_calls_tools_as_they_are_sent(ask: Any, model: Any, gateway: Any) -> None:
    traced = Traced()
    await ask(model, "Go.", tools=[look], tool_choice="any", config={"callbacks": [traced]})
    sent = gateway.last_request.json
    assert (traced.params["tools"], traced.params["tool_choice"]) == (sent["tools"], "required")


def test_cache_knows_a_calls_tools_by_what_is_sent(make_model: Any, gateway: Any) -> None:
    model = make_model(cache=InMemoryCache())

    def fresh() -> Any:
        def look(where: str) -> str:
            """Look somewhere."""
            return where

        return look

    model.invoke("Go.", tools=[fresh()])
    model.invoke("Go.", tools=[fresh()])
    assert len(gateway.chat_requests) == 1
    model.invoke("Go.", tools=[Box[int]])
    assert len(gateway.chat_requests) == 2


@pytest.mark.parametrize(("made", "name"), [(Box[int], "Box_int_"), (lambda: None, "_lambda_")])
def test_names_that_upstreams_refuse_are_cleaned(model: Any, gateway: Any, made: Any, name: str) -> None:
    if not isinstance(made, type):
        made.__doc__ = "Do nothing."
    model.bind_tools([made], tool_choice=made.__name__).invoke("Go.")
    sent = gateway.last_request.json
    assert sent["tools"][0]["function"]["name"] == name
    assert sent["tool_choice"] == {"type": "function", "function": {"name": name}}
