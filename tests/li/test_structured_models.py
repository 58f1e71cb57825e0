"""How an object is asked for follows the models that may answer, whatever says which they are."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode
from tests.core.helpers import soon
from tests.li.model_entries import MODELS, entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

PROMPT = PromptTemplate("Go on.")
WAYS = ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"]


class Point(BaseModel):
    """A point."""

    x: int


@pytest.fixture(params=WAYS)
def predict(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give each of the four ways, the sync ones outside a running loop; each gives the last object that comes."""
    method = request.param

    async def run(llm: KiloCode, **call: Any) -> Any:
        def ask() -> Any:
            answer = getattr(llm, method)(Point, PROMPT, **call)
            return list(answer)[-1] if method == "stream_structured_predict" else answer

        if not method.startswith("a"):
            return await asyncio.to_thread(ask)
        answer = await ask()
        return answer if method == "astructured_predict" else [one async for one in answer][-1]

    return run


@pytest.fixture
def gateway(make_gateway: Any) -> LocalGateway:
    """Give a gateway of models with and without tools, whose list nobody has read."""
    both = entry("both/ways", 9_000, parameters=("response_format", "structured_outputs"))
    found: LocalGateway = make_gateway(models=[*MODELS, both])
    return found


def method(gateway: LocalGateway) -> str | None:
    """Say how the last request asked for the object."""
    body = gateway.chat_requests[-1].json
    return "tools" if "tools" in body else body.get("response_format", {}).get("type")


CALLS = {
    "by the model": ({"model": "no/tools"}, {}, "json_object"),
    "by additional_kwargs": ({"additional_kwargs": {"model": "no/tools"}}, {}, "json_object"),
    "by the call": ({}, {"model": "no/tools-schema"}, "json_schema"),
    "back by the call": ({"additional_kwargs": {"model": "no/tools"}}, {"model": "small/model"}, "tools"),
    "by a fallback": ({"model": "both/ways", "fallback_models": ["no/tools-schema"]}, {}, "json_schema"),
    "by the weaker of both": ({"model": "both/ways", "fallback_models": ["no/tools"]}, {}, "json_object"),
    "by a fallback of the call": ({"model": "both/ways"}, {"fallback_models": ["no/tools"]}, "json_object"),
    "by nothing common": ({"fallback_models": ["no/tools"]}, {}, None),
    "without the fallback": ({"fallback_models": ["no/tools"]}, {"fallback_models": None}, "tools"),
    "by none that is known": ({"model": "nobody/knows"}, {}, "tools"),
    "by the one that is known": ({"model": "nobody/knows", "fallback_models": ["no/tools"]}, {}, "json_object"),
    "as the user says": ({"is_function_calling_model": False}, {}, None),
    "as nobody said of the other": ({"is_function_calling_model": False}, {"model": "small/model"}, "tools"),
    "nor of this one": ({"is_function_calling_model": True}, {"model": "no/tools-schema"}, "json_schema"),
}


@pytest.mark.parametrize("case", CALLS)
async def test_the_models_that_may_answer_decide(predict: Any, gateway: LocalGateway, case: str) -> None:
    settings, call, expected = CALLS[case]
    reply = Reply.text("", tool_calls=[{"id": "c1", "name": "Point", "arguments": '{"x": 1}'}])
    gateway.script(reply if expected == "tools" else Reply.text('{"x": 1}'), path="chat/completions")
    llm = KiloCode(**{"model": "large/model", "api_key": "test-key-1", "api_base": gateway.base_url, **settings})
    assert await predict(llm, llm_kwargs=call) == Point(x=1)
    assert method(gateway) == expected


def test_a_sync_call_inside_a_loop_knows_as_well(gateway: LocalGateway) -> None:
    async def main() -> Any:
        llm = KiloCode("no/tools", api_key="test-key-1", api_base=gateway.base_url)
        return llm.structured_predict(Point, PROMPT)

    gateway.script(Reply.text('{"x": 1}'), path="chat/completions")
    assert asyncio.run(main()) == Point(x=1)
    assert method(gateway) == "json_object"


@pytest.mark.parametrize(
    "settings",
    [
        {"should_use_structured_outputs": True},
        {"is_function_calling_model": True},
        {"pydantic_program_mode": "function"},
    ],
)
async def test_the_list_is_not_read_where_the_settings_say_it_all(
    predict: Any, gateway: LocalGateway, settings: dict[str, Any]
) -> None:
    reply = Reply.text("", tool_calls=[{"id": "c1", "name": "Point", "arguments": '{"x": 1}'}])
    schema = "should_use_structured_outputs" in settings
    gateway.script(Reply.text('{"x": 1}') if schema else reply, path="chat/completions")
    llm = KiloCode("no/tools", api_key="test-key-1", api_base=gateway.base_url, **settings)
    await predict(llm)
    assert method(gateway) == ("json_schema" if schema else "tools")
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("method", ["astructured_predict", "astream_structured_predict"])
async def test_the_event_loop_runs_while_the_list_is_fetched(gateway: LocalGateway, method: str) -> None:
    """Only the loop lets the list go out."""
    ran = threading.Event()
    gateway.on_request = lambda request, _status: ran.wait(60) if request.method == "GET" else None
    gateway.script(Reply.text('{"x": 1}'), path="chat/completions")
    llm = KiloCode("no/tools", api_key="test-key-1", api_base=gateway.base_url)

    async def ask() -> Any:
        answer = await getattr(llm, method)(Point, PROMPT)
        return [one async for one in answer][-1] if "stream" in method else answer

    task = asyncio.create_task(ask())
    assert await soon(lambda: gateway.requests)
    for _ in range(5):
        await asyncio.sleep(0)
    assert gateway.chat_requests == []
    ran.set()
    assert await task == Point(x=1)


async def test_a_plain_chat_never_asks_for_the_list(gateway: LocalGateway) -> None:
    llm = KiloCode("no/tools", api_key="test-key-1", api_base=gateway.base_url)
    await llm.acomplete("Hi.")
    await asyncio.to_thread(llm.complete, "Hi.")
    assert len(gateway.requests) == len(gateway.chat_requests) == 2


def test_metadata_follows_additional_kwargs(gateway: LocalGateway) -> None:
    more = {"model": "no/tools", "max_tokens": 77}
    llm = KiloCode("small/model", api_base=gateway.base_url, max_tokens=500, additional_kwargs=more)
    found = llm.metadata
    assert (found.model_name, found.context_window, found.num_output) == ("no/tools", 32_000, 77)
    assert not found.is_function_calling_model
    assert llm.to_payload()["model_name"] == "no/tools"
    llm.additional_kwargs = {"max_completion_tokens": 78}
    assert llm.metadata.num_output == 78
    llm.additional_kwargs = {"max_tokens": None}
    assert llm.metadata.num_output == -1
    llm.additional_kwargs = {}
    assert (llm.metadata.model_name, llm.metadata.num_output) == ("small/model", 500)
