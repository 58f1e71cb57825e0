"""What the tests of the LlamaIndex integration share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage

from llama_index_kilocode import KiloCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

KEY = "test-key-1"
MODEL = "openai/gpt-5.4"

# What the frameworks themselves do, at the newest and at the lowest versions.
NOT_OURS = [
    "ignore:Skipping serialization of known unserializable key",  # an agent's memory in a workflow's context
    "ignore:is_running called from within a step:DeprecationWarning",  # core's ReActAgent
    "ignore:The `json` method is deprecated",  # core's StructuredLLM, streamed
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for one in NOT_OURS:
                item.add_marker(pytest.mark.filterwarnings(one))


@pytest.fixture
def make_llm(gateway: LocalGateway) -> Callable[..., KiloCode]:
    """Make LLMs that talk to the test's gateway, of a model that it serves under its own name."""
    return lambda **settings: KiloCode(**{"model": MODEL, "api_key": KEY, "api_base": gateway.base_url, **settings})


@pytest.fixture
def llm(make_llm: Callable[..., KiloCode]) -> KiloCode:
    return make_llm()


@dataclass(frozen=True)
class EntryPoint:
    """One of the eight ways to ask, in one form."""

    method: str

    @property
    def streams(self) -> bool:
        return "stream" in self.method

    async def __call__(self, llm: Any, prompt: Any = "Say hello.", **settings: Any) -> list[Any]:
        """Ask, and give every response that comes: one, or the pieces of a stream."""
        completes = "complete" in self.method
        if not completes and isinstance(prompt, str):
            prompt = [ChatMessage(role="user", content=prompt)]
        ask = getattr(llm, self.method)
        if self.method.startswith("a"):
            answer = await ask(prompt, **settings)
            return [piece async for piece in answer] if self.streams else [answer]
        return await asyncio.to_thread(
            lambda: list(ask(prompt, **settings)) if self.streams else [ask(prompt, **settings)]
        )

    @staticmethod
    def text(response: Any) -> str:
        return response.text if hasattr(response, "text") else response.message.content or ""


METHODS = ["chat", "complete", "stream_chat", "stream_complete"]


@pytest.fixture(params=[f"{kind}{method}" for kind in ("", "a") for method in METHODS])
def ask(request: pytest.FixtureRequest) -> EntryPoint:
    """Give each of the eight entry points in turn."""
    return EntryPoint(request.param)


@pytest.fixture(params=["stream_chat", "astream_chat"])
def stream(request: pytest.FixtureRequest) -> EntryPoint:
    """Give each of the two entry points that stream messages."""
    return EntryPoint(request.param)


@pytest.fixture(params=["chat", "achat", "stream_chat", "astream_chat"])
def chat(request: pytest.FixtureRequest) -> EntryPoint:
    """Give each of the four entry points that take and give messages."""
    return EntryPoint(request.param)


@pytest.fixture(params=["complete", "acomplete", "stream_complete", "astream_complete"])
def complete(request: pytest.FixtureRequest) -> EntryPoint:
    """Give each of the four entry points that take and give texts."""
    return EntryPoint(request.param)


class Recorder(BaseEventHandler):
    """Keeps the events."""

    seen: list[Any] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    root = get_dispatcher()
    handler = Recorder()
    before = list(root.event_handlers)
    root.add_event_handler(handler)
    yield handler
    root.event_handlers = before


class Spans(SimpleSpanHandler):
    """Keeps the names of spans, and with what arguments they began."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    def span_enter(self, id_: str, bound_args: Any, *args: Any, **kwargs: Any) -> None:
        self.seen.append((id_, str(bound_args.arguments)))


@pytest.fixture
def spans() -> Iterator[Spans]:
    root = get_dispatcher()
    handler = Spans()
    before = list(root.span_handlers)
    root.add_span_handler(handler)
    yield handler
    root.span_handlers = before
