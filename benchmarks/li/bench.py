"""How LlamaIndex's classes are asked, and the rows that ask them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage

from benchmarks import probing
from benchmarks.probing import LOST, YES, Rows, holds, watched
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT = ("chat", "achat", "stream_chat", "astream_chat")
COMPLETE = ("complete", "acomplete", "stream_complete", "astream_complete")
ALL = (*CHAT, *COMPLETE)
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
STREAM_CHAT = ("stream_chat", "astream_chat")
WAITS = ("achat", "acomplete", "astream_chat", "astream_complete")
SYNC = ("chat",)
TOOL_WAYS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
RUNS = ("run", "run_stream")
"""An agent that asks for whole answers, and one that asks for streams."""
QUERY = ("query", "aquery")

ROWS = Rows(CHAT)
probe = ROWS.probe


class Bench(probing.Bench):
    """An LLM class on a gateway of its own, asked in one way."""

    address = "api_base"

    def do(self, target: Any, method: str, *args: Any, **named: Any) -> list[Any]:
        """Call a method, sync or async, and list what it gives: one object, or the pieces of a stream."""
        found: list[Any] = []

        async def wait(asked: Any) -> None:
            answer = await asked
            if hasattr(type(answer), "__aiter__"):
                async for piece in answer:
                    found.append(piece)  # noqa: PERF401 - a list comprehension would lose the pieces before an error
            else:
                found.append(answer)

        with watched():
            asked = getattr(target, method)(*args, **named)
            if inspect.isawaitable(asked):
                self.run(wait(asked))
            elif inspect.isgenerator(asked):
                found.extend(asked)
            else:
                found.append(asked)
        return found

    def responses(self, model: Any = None, messages: Any = "Hello", /, **call: Any) -> list[Any]:
        """Ask in the bench's way, and list the responses that came."""
        return self.do(self.model() if model is None else model, self.way, self.prompt(messages), **call)

    def ask(self, model: Any = None, messages: Any = "Hello", /, **call: Any) -> Any:
        """Ask in the bench's way, and give the answer, of a stream the last response; None when it is empty."""
        found = self.responses(model, messages, **call)
        return found[-1] if found else None

    def prompt(self, messages: Any) -> Any:
        """Give a text as what the bench's way takes."""
        return messages if "complete" in self.way or not isinstance(messages, str) else [user(messages)]

    def call_tools(self, tools: list[Any], model: Any = None, **call: Any) -> list[Any]:
        """Ask with tools in the bench's way, and list the responses that came."""
        return self.do(self.model() if model is None else model, self.way, tools, user_msg="Look.", **call)

    def agent(self, tools: list[Any], model: Any = None, question: str = "Look.", kind: Any = FunctionAgent) -> Any:
        """Let an agent answer, and give what it says at its end."""
        model = self.model() if model is None else model

        async def run() -> Any:
            made = kind(tools=tools, llm=model, streaming=self.streams)
            return await made.run(question)

        with watched():
            return self.run(run())

    def query(self, make: Callable[[], Any], question: str = "What is it?") -> Any:
        """Make a query engine, ask it in the bench's way, and give its response."""
        with watched():
            engine = make()
        return self.do(engine, self.way, question)[0]

    def list_models(self, *entries: dict[str, Any]) -> None:
        """Let the gateway list these models only."""
        self.gateway.script(*[Reply.raw(200, {"data": list(entries)})] * 5, path="models")


def converse(bench: Bench, engine: Any, questions: list[str]) -> list[str]:
    """Ask a chat engine in the bench's way, one question after the other."""

    async def wait() -> list[str]:
        if not bench.streams:
            return [str(await engine.achat(one)) for one in questions]
        answers = []
        for one in questions:
            stream = await engine.astream_chat(one)
            answers.append("".join([piece async for piece in stream.async_response_gen()]))
        return answers

    with watched():
        if bench.way.startswith("a"):
            found: list[str] = bench.run(wait())
            return found
        if bench.streams:
            return ["".join(engine.stream_chat(one).response_gen) for one in questions]
        return [str(engine.chat(one)) for one in questions]


def user(content: str) -> ChatMessage:
    """Write what a user says."""
    return ChatMessage(role="user", content=content)


def text_of(response: Any) -> str:
    """Give the text of a response; of none, none."""
    if response is None:
        return ""
    return str(response.text if hasattr(response, "text") else response.message.content or "")


def blocks(response: Any, kind: str) -> list[Any]:
    """List the blocks of one kind in a response, by the name of their class."""
    return [block for block in response.message.blocks if type(block).__name__ == kind]


def bare(response: Any) -> Any:
    """Give a response without the reply that it was read from."""
    return response.model_copy(update={"raw": None})


def told(response: Any, wanted: object) -> str:
    """Judge whether a response tells a value, otherwise than in the reply that it was read from."""
    if response is None:
        return LOST
    if holds(bare(response), wanted):
        return YES
    return "no: in `raw` only" if holds(response.raw, wanted) else LOST


def entry(model: str, window: int, *parameters: str) -> dict[str, Any]:
    """Write a model of the gateway's list, of that context window, which takes these parameters too."""
    return {
        "id": model,
        "name": model,
        "created": 0,
        "description": "",
        "context_length": window,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "Other"},
        "top_provider": {"is_moderated": False, "context_length": window, "max_completion_tokens": window},
        "pricing": {"prompt": "0.000001", "completion": "0.000002"},
        "supported_parameters": ["max_tokens", "temperature", *parameters],
    }
