"""The events and callbacks of KiloCode beside those of the framework's own OpenAILike, on the same replies."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import utils as openai_utils
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

KEY = "test-key-1"
MESSAGES = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Say hello.")]
LISBON = '{"name": "Lisbon", "people": 500000}'
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class City(BaseModel):
    """A city."""

    name: str
    people: int


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


Told = tuple[str, dict[str, Any]]


class Events(BaseEventHandler):
    """Writes events down."""

    told: list[Told] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.told.append((type(event).__name__, dict(event)))


class Callbacks(BaseCallbackHandler):
    """Writes callbacks down, among the events."""

    def __init__(self, told: list[Told]) -> None:
        super().__init__([], [])
        self.told = told

    def on_event_start(self, event_type: Any, payload: Any = None, event_id: str = "", **kwargs: Any) -> str:
        self.told.append((f"start of {event_type.value}", {str(key.value): value for key, value in payload.items()}))
        return event_id

    def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
        self.told.append((f"end of {event_type.value}", {str(key.value): value for key, value in payload.items()}))

    def start_trace(self, trace_id: str | None = None) -> None:
        self.told.append((f"start of trace {trace_id}", {}))

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        self.told.append((f"end of trace {trace_id}", {}))


@pytest.fixture
def events() -> Iterator[Events]:
    root, handler = get_dispatcher(), Events()
    before = list(root.event_handlers)
    root.add_event_handler(handler)
    yield handler
    root.event_handlers = before


@pytest.fixture
def record(gateway: LocalGateway, events: Events) -> Callable[..., Any]:
    """Ask both classes the same, and give what the listeners of each were told."""

    async def listen(cls: Any, ask: Callable[[Any], Any], *, callbacks: bool, **settings: Any) -> list[Told]:
        events.told.clear()
        settings |= {"model": "openai/gpt-5.4", "api_key": KEY, "api_base": gateway.base_url, "max_retries": 0}
        if callbacks:
            settings["callback_manager"] = CallbackManager([Callbacks(events.told)])
        await ask(cls(**settings))
        return list(events.told)

    async def run(ask: Callable[[Any], Any], reply: Reply, *, callbacks: bool) -> tuple[list[Told], list[Told]]:
        gateway.script(reply, reply)
        ours = await listen(KiloCode, ask, callbacks=callbacks)
        chats = {"is_chat_model": True, "is_function_calling_model": True}
        with httpx.Client(verify=False) as client:
            async with httpx.AsyncClient(verify=False) as other:
                chats |= {"http_client": client, "async_http_client": other}
                return await listen(OpenAILike, ask, callbacks=callbacks, **chats), ours

    return run


async def _all(llm: Any, method: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call a method in its own way, and give everything that comes; an error ends it."""
    try:
        answer = getattr(llm, method)(*args, **kwargs)
        if inspect.isawaitable(answer):
            answer = await answer
        if hasattr(answer, "__aiter__"):
            return [piece async for piece in answer]
        return list(answer) if hasattr(answer, "__next__") else [answer]
    except Exception as error:  # noqa: BLE001 - the classes raise different ones
        return [error]


def _ask(method: str) -> Callable[[Any], Any]:
    if "structured" in method:
        prompt = PromptTemplate("Tell me about {place}.")
        return lambda llm: _all(llm, method, City, prompt, place="Lisbon")
    if "with_tools" in method:
        tool = FunctionTool.from_defaults(add)
        return lambda llm: _all(llm, method, [tool], user_msg="Add.", chat_history=list(MESSAGES))
    asked = "Say hello." if "complete" in method else MESSAGES
    return lambda llm: _all(llm, method, asked, temperature=0.5, extra_headers={"X-Mine": "secret-1"})


ENTRY = [f"{kind}{name}" for kind in ("", "a") for name in ("chat", "stream_chat", "complete", "stream_complete")]
TOOLS = ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"]
STRUCTURED = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
]
CALL = {"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
REPLIES = {
    "text": Reply.text("Hello you, whoever you are.", usage=USAGE),
    "thoughts": Reply.text("Hello.", reasoning="I think.", usage=USAGE),
    "a call": Reply.text("", tool_calls=[CALL], usage=USAGE),
    "an object": Reply.text("", tool_calls=[{"id": "c1", "name": "City", "arguments": LISBON}], usage=USAGE),
    "an error": Reply.raw(402, {"error": {"title": "Low Credit Warning!", "message": "Add credits."}}),
    "a late error": Reply.chunks(
        [
            {"choices": [{"index": 0, "delta": {"content": "Half an"}}]},
            {"error": {"message": "Provider disconnected", "code": 502}, "choices": []},
        ]
    ),
}
READ_BY_BOTH = ("text", "thoughts") if hasattr(openai_utils, "get_openai_reasoning_content") else ("text",)
CASES = [
    *[(method, reply) for method in ENTRY for reply in (*READ_BY_BOTH, "an error")],
    *[(method, "a late error") for method in ENTRY if "stream" in method],
    *[(method, reply) for method in TOOLS for reply in ("text", "a call", "an error")],
    *[(method, reply) for method in STRUCTURED for reply in ("an object", "an error")],
]


def _order(told: list[Told]) -> list[str]:
    """Give the names in order, those of pieces once: how many pieces a stream is cut into is each class's own affair.

    So are the dropped spans of a structured prediction: the framework's program has some of its own in between.
    """
    names = [name for name, _ in told]
    own = {"SpanDropEvent"} if "LLMStructuredPredictStartEvent" in names else set()
    return [
        name
        for place, name in enumerate(names)
        if name not in names[:place] or not (name in own or "InProgress" in name)
    ]


@pytest.mark.parametrize("callbacks", [False, True])
@pytest.mark.parametrize(("method", "reply"), CASES)
async def test_listeners_are_told_the_same(record: Any, method: str, reply: str, callbacks: bool) -> None:
    theirs, ours = await record(_ask(method), REPLIES[reply], callbacks=callbacks)
    assert _order(ours) == _order(theirs)
    assert theirs, "nothing was told"
    assert not any(secret in str(ours) for secret in ("secret-1", KEY))
    for name in _order(theirs):
        mine = _summary([fields for kind, fields in ours if kind == name])
        assert mine == _summary([fields for kind, fields in theirs if kind == name]), name


def _summary(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Give what must be the same in the events of one kind: their fields, and of the last one what they say."""
    last = pieces[-1]
    found: dict[str, Any] = {"fields": sorted(last)}
    for name, value in last.items():
        if name in ("messages", "prompt", "template", "template_args", "output_cls", "output", "tags"):
            found[name] = value
        elif name == "span_id":
            found[name] = value and value.split("-")[0].partition(".")[2]
        elif name in ("model_dict", "serialized") and hasattr(BaseLLM, "to_payload"):
            found[name] = sorted(value)  # older frameworks tell all settings here, the key among them
        elif name == "additional_kwargs":
            found[name] = _settings(value)
        elif name in ("response", "completion") and value is not None:
            found[name] = _answer(value)
            found["deltas"] = "".join(getattr(piece[name], "delta", None) or "" for piece in pieces)
            found["thoughts"] = "".join(piece[name].additional_kwargs.get("thinking_delta", "") for piece in pieces)
    return found


_OWN = ("parallel_tool_calls", "extra_headers", "tool_choice")
"""Settings of a call that the base sends to no effect, shows openly, or takes back in streams."""


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Give a call's settings without those that only one class adds, or hides."""
    kept = {name: value for name, value in given.items() if name not in _OWN}
    if "extra_headers" in given:
        kept["headers"] = sorted(given["extra_headers"])
    if kept.get("tools"):
        kept["tools"] = [_plain(tool) for tool in kept["tools"]]
    return {name: value for name, value in kept.items() if value is not None}


def _plain(tool: dict[str, Any]) -> dict[str, Any]:
    function = {name: value for name, value in tool["function"].items() if name != "strict"}
    parameters = {name: value for name, value in function["parameters"].items() if name != "additionalProperties"}
    return {**tool, "function": {**function, "parameters": parameters}}


def _answer(response: Any) -> dict[str, Any]:
    counts = {name: value for name, value in response.additional_kwargs.items() if name in USAGE}
    if not hasattr(response, "message"):
        return {"text": response.text, **counts}
    blocks = [
        (block.block_type, getattr(block, "content", getattr(block, "text", None)))
        for block in response.message.blocks
        if block.block_type == "thinking" or getattr(block, "text", "")
    ]
    calls = [
        (block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in response.message.blocks
        if block.block_type == "tool_call"
    ]
    return {"role": response.message.role, "blocks": blocks, "calls": calls, **counts}
