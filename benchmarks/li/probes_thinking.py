"""Probes of thinking: what is read, and whether it goes back unchanged, whatever the conversation went through."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonSerializer

from benchmarks.li.bench import QUERY, RUNS, STREAM_CHAT, blocks, probe, user
from benchmarks.li.bench import told as told_in
from benchmarks.probing import LOST, YES, kept, watched
from benchmarks.replies import CALL, CLAUDE, SHAPES, THOUGHT, chunk, reply, say, told, told_back
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.li.bench import Bench

GROUP = "Thinking"
RESULT = ChatMessage(role="tool", content="There.", additional_kwargs={"tool_call_id": "call_1"})
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}


def look() -> str:
    """Look."""
    return "There."


TOOL = FunctionTool.from_defaults(look)


def _block(bench: Bench, *deltas: dict[str, Any]) -> str:
    bench.script(reply(*deltas, {"content": "Hello."}))
    answer = bench.ask()
    found = "".join(one.content or "" for one in blocks(answer, "ThinkingBlock"))
    return YES if found == THOUGHT else told_in(answer, THOUGHT) if not found else f"no: {found!r}"


@probe(GROUP)
def as_block(bench: Bench) -> str:
    """Thinking is a `ThinkingBlock`."""
    return _block(bench, *SHAPES["anthropic"])


@probe(GROUP)
def kimi(bench: Bench) -> str:
    """Thinking of upstreams that write `reasoning_content`."""
    return _block(bench, *SHAPES["kimi"])


@probe(GROUP)
def three_forms(bench: Bench) -> str:
    """Thinking that comes in three forms at once is read once."""
    return _block(bench, {**told(THOUGHT, CLAUDE), "reasoning_content": THOUGHT})


@probe(GROUP)
def details_alone(bench: Bench) -> str:
    """Thinking that comes as `reasoning_details` alone."""
    return _block(bench, {"reasoning_details": told(THOUGHT, CLAUDE)["reasoning_details"]})


@probe(GROUP, ways=STREAM_CHAT)
def deltas(bench: Bench) -> str:
    """Each piece of a stream tells what is new in `thinking_delta`."""
    bench.script(reply(*SHAPES["anthropic"], {"content": "Hello."}))
    found = [one.additional_kwargs.get("thinking_delta") for one in bench.responses()]
    return kept([one for one in found if one] == ["First I look. ", "Then I tell."])


@probe(GROUP, ways=STREAM_CHAT)
def first_chunk(bench: Bench) -> str:
    """A first chunk with thinking and without a text is read."""
    pieces = [chunk({"content": None, "reasoning": one}) for one in ("First I look. ", "Then I tell.")]
    bench.script(Reply.chunks([*pieces, chunk({"content": "Hello."}), chunk({}, "stop")]))
    found = "".join(one.content or "" for one in blocks(bench.ask(), "ThinkingBlock"))
    return kept(found == THOUGHT, f"no: {found!r}")


def _history(bench: Bench, shape: str, model: Any) -> list[ChatMessage]:
    """Ask for an answer that thinks and calls a tool, and give the conversation with the tool's result."""
    bench.script(reply(*SHAPES[shape], {"tool_calls": [CALL]}, finish="tool_calls"), say())
    return [user("Hello"), bench.ask(model).message, RESULT]


def _back(bench: Bench, shape: str, through: Callable[[list[ChatMessage]], Any] | None = None) -> str:
    model = bench.model()
    history = _history(bench, shape, model)
    if through is not None:
        with watched():
            history = through(history)
    bench.ask(model, history)
    return told_back(bench.sent["messages"][1].get("reasoning_details"), shape)


@probe(GROUP)
def back_anthropic(bench: Bench) -> str:
    """Anthropic's signed thinking goes back with a tool's result, unchanged."""
    return _back(bench, "anthropic")


@probe(GROUP)
def back_gemini(bench: Bench) -> str:
    """Gemini's encrypted thinking goes back, unchanged."""
    return _back(bench, "gemini")


@probe(GROUP)
def back_openai(bench: Bench) -> str:
    """OpenAI's summary and encrypted thinking go back, unchanged."""
    return _back(bench, "openai")


@probe(GROUP)
def back_kimi(bench: Bench) -> str:
    """Kimi's `reasoning_content` goes back."""
    model = bench.model()
    bench.ask(model, _history(bench, "kimi", model))
    return kept(bench.sent["messages"][1].get("reasoning_content") == THOUGHT)


@probe(GROUP)
def back_signed_call(bench: Bench) -> str:
    """Gemini's signature of a tool call goes back."""
    if bench.streams:
        bench.script(reply({"tool_calls": [SIGNED]}, finish="tool_calls"), say())
    else:
        call = {name: value for name, value in SIGNED.items() if name != "index"}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        body = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        bench.script(Reply.raw(200, body), say())
    model = bench.model()
    bench.ask(model, [user("Hello"), bench.ask(model).message, RESULT])
    (sent,) = bench.sent["messages"][1].get("tool_calls") or [{}]
    return kept(sent.get("extra_content") == SIGNED["extra_content"])


@probe(GROUP)
def through_buffer(bench: Bench) -> str:
    """Signed thinking goes back after a `ChatMemoryBuffer`."""

    def through(history: list[ChatMessage]) -> list[ChatMessage]:
        memory = ChatMemoryBuffer.from_defaults(token_limit=5000)
        memory.put_messages(history)
        return memory.get()

    return _back(bench, "anthropic", through)


@probe(GROUP)
def through_memory(bench: Bench) -> str:
    """Signed thinking goes back after a `Memory`."""

    async def keep(history: list[ChatMessage]) -> list[ChatMessage]:
        memory = Memory.from_defaults(session_id="one", token_limit=5000)
        await memory.aput_messages(history)
        found: list[ChatMessage] = await memory.aget()
        return found

    return _back(bench, "anthropic", lambda history: bench.run(keep(history)))


@probe(GROUP)
def through_context(bench: Bench) -> str:
    """Signed thinking goes back after a workflow's `Context` was JSON."""

    async def keep(history: list[ChatMessage]) -> list[ChatMessage]:
        agent = FunctionAgent(tools=[TOOL], llm=bench.model())
        context: Context[Any] = Context(agent)
        await context.store.set("scratchpad", history)
        stored = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
        restored: Context[Any] = Context.from_dict(agent, stored, serializer=JsonSerializer())
        found: list[ChatMessage] = await restored.store.get("scratchpad")
        return found

    return _back(bench, "anthropic", lambda history: bench.run(keep(history)))


@probe(GROUP)
def through_pickle(bench: Bench) -> str:
    """Signed thinking goes back after a pickle of the messages."""
    return _back(bench, "anthropic", lambda history: pickle.loads(pickle.dumps(history)))  # noqa: S301 - made here


@probe(GROUP, ways=RUNS)
def agent_of_three_turns(bench: Bench) -> str:
    """A `FunctionAgent` of three turns gives back the signed thinking of both calls."""
    calls = [{**CALL, "id": f"call_{number}"} for number in (1, 2)]
    answers = [reply(*SHAPES["anthropic"], {"tool_calls": [one]}, finish="tool_calls") for one in calls]
    bench.script(*answers, say("Done."))
    if str(bench.agent([TOOL])) != "Done.":
        return "no: another answer"
    sent = [one.get("reasoning_details") for one in bench.sent["messages"] if one["role"] == "assistant"]
    verdicts = [told_back(one, "anthropic") for one in sent]
    return next((one for one in verdicts if one != YES), YES if len(verdicts) == len(calls) else LOST)


@probe(GROUP)
def effort(bench: Bench) -> str:
    """`reasoning_effort` goes out, whatever the model is called."""
    bench.script(say())
    bench.ask(bench.model("openai/o3", reasoning_effort="high"))
    found = bench.sent.get("reasoning_effort") or (bench.sent.get("reasoning") or {}).get("effort")
    return kept(found == "high")


@probe(GROUP)
def reasoning_settings(bench: Bench) -> str:
    """The gateway's `reasoning` goes out as it is given."""
    wanted = {"max_tokens": 2000, "exclude": False}
    bench.script(say())
    bench.ask(bench.model(**bench.subject.spelt("reasoning", wanted)))
    return kept(bench.sent.get("reasoning") == wanted)


@probe(GROUP, ways=QUERY)
def in_engines(bench: Bench) -> str:
    """A query engine's response tells what the model thought."""
    bench.script(reply(told(THOUGHT, CLAUDE), {"content": "Hello."}))
    model = bench.model()
    response = bench.query(lambda: SummaryIndex.from_documents([Document(text="One.")]).as_query_engine(llm=model))
    return kept(THOUGHT in repr(vars(response)))
