"""Probes of the eight ways to ask: text, usage, thinking, calls, errors, an early end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
from llama_index.core.prompts import PromptTemplate

from benchmarks.li.bench import ALL, CHAT, COMPLETE, STREAMS, WAITS, blocks, probe, text_of, told
from benchmarks.probing import YES, FailedError, kept, raised, watched
from benchmarks.replies import COST, THOUGHT, USAGE, call, chunk, reply, say, upstream
from benchmarks.replies import told as thought
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

GROUP = "Eight ways to ask (`chat`, `complete`, `stream_*`, `a*`)"
TEXT = "Grüße, 世界 🌍, and more."
REASON = "The provider ran out of capacity"
WORDS = [chunk({"content": "word "}) for _ in range(100)]
SLOW = Reply.chunks([*WORDS, chunk({}, "stop")], chunk_delay=0.1)
PREDICT = ("predict", "apredict", "stream", "astream")


@probe(GROUP, ways=ALL)
def plain(bench: Bench) -> str:
    """A plain answer."""
    bench.script(say(TEXT))
    return kept(text_of(bench.ask()) == TEXT, "no: another text")


@probe(GROUP, ways=ALL)
def told_of_no_chat(bench: Bench) -> str:
    """Asks at chat/completions without being told to."""
    bench.script(say())
    bench.error(bench.model(bare=True))
    return kept(bench.gateway.chat_requests, f"no: at {bench.latest.path.rpartition('gateway/')[2]}")


@probe(GROUP, ways=STREAMS)
def single_bytes(bench: Bench) -> str:
    """A stream cut into single bytes, with CRLF line ends and other scripts."""
    bench.script(say(TEXT, split=1, newline="\r\n"))
    pieces = bench.responses()
    deltas = "".join(piece.delta or "" for piece in pieces)
    return kept(deltas == TEXT == text_of(pieces[-1]), "no: another text")


@probe(GROUP, ways=ALL)
def usage(bench: Bench) -> str:
    """Token counts in the answer's `additional_kwargs`."""
    bench.script(say())
    found = bench.ask().additional_kwargs
    return kept(all(found.get(name) == USAGE[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")))


@probe(GROUP, ways=ALL)
def cost(bench: Bench) -> str:
    """The cost in USD."""
    bench.script(say())
    return told(bench.ask(), COST)


@probe(GROUP, ways=CHAT)
def thinking(bench: Bench) -> str:
    """What the model thought: a block, or `thinking_delta` of pieces (`chat` and the like)."""
    return _judge_thinking(bench)


@probe(GROUP, ways=COMPLETE)
def thinking_in_completions(bench: Bench) -> str:
    """What the model thought, or `thinking_delta` of pieces (`complete` and the like)."""
    return _judge_thinking(bench)


def _judge_thinking(bench: Bench) -> str:
    bench.script(reply(thought(THOUGHT, "google-gemini-v1"), {"content": "Hello."}))
    found = bench.responses()
    deltas = "".join(one.additional_kwargs.get("thinking_delta") or "" for one in found)
    return YES if THOUGHT in deltas else told(found[-1], THOUGHT)


@probe(GROUP, ways=ALL)
def called(bench: Bench) -> str:
    """A tool call that comes with a text."""
    bench.script(reply({"content": "I look."}, call("look", '{"where": "here"}', index=0, id="a"), finish="tool_calls"))
    answer = bench.ask()
    if text_of(answer) != "I look.":
        return "no: the text is lost"
    if not hasattr(answer, "message"):
        return kept(answer.additional_kwargs.get("tool_calls"))
    return kept([one.tool_name for one in blocks(answer, "ToolCallBlock")] == ["look"])


@probe(GROUP, ways=ALL)
def failed(bench: Bench) -> str:
    """An error of the gateway is one of `openai`'s, with its reason."""
    bench.script(upstream(400, REASON))
    return raised(bench.error(), kind=openai.APIError, text=REASON, silent="an answer, no error")


@probe(GROUP, ways=STREAMS)
def left_early(bench: Bench) -> str:
    """Leaving a stream early closes its connection."""
    return judge_leaving(bench)


def judge_leaving(bench: Bench) -> str:
    """Leave a stream after its first text, and judge whether its connection is closed within a few seconds."""
    bench.script(SLOW)
    model = bench.model()

    async def leave() -> None:
        pieces = await getattr(model, bench.way)(bench.prompt("Hello"))
        async for piece in pieces:
            if piece.delta:
                break
        await pieces.aclose()

    async def left() -> bool:
        if bench.way.startswith("a"):
            with watched():
                await leave()
        return await bench.hung_up()

    if not bench.way.startswith("a"):
        with watched():
            for piece in getattr(model, bench.way)(bench.prompt("Hello")):
                if piece.delta:
                    break
    return kept(bench.run(left()), "no: still open")


@probe(GROUP, ways=WAITS)
def cancelled(bench: Bench) -> str:
    """Cancelling the task closes the connection."""
    bench.script(SLOW if bench.streams else say(delay=8.0))
    model = bench.model()

    async def ask() -> None:
        asked = await getattr(model, bench.way)(bench.prompt("Hello"))
        if bench.streams:
            async for _ in asked:
                pass

    async def cancel() -> bool:
        task = asyncio.create_task(ask())
        for _ in range(200):
            if bench.posts or task.done():
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        task.cancel()
        (found,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(found, Exception):
            raise FailedError(found)
        return isinstance(found, asyncio.CancelledError) and await bench.hung_up()

    return kept(bench.run(cancel()), "no: still open")


@probe(GROUP, ways=PREDICT)
def predicted(bench: Bench) -> str:
    """`predict` and `stream` with a prompt template."""
    bench.script(say(TEXT))
    found = bench.do(bench.model(), bench.way, PromptTemplate("Say {what}."), what="hello")
    return kept("".join(map(str, found)) == TEXT and bench.sent["messages"][-1]["content"] == "Say hello.")


@probe(GROUP)
def log_probs(bench: Bench) -> str:
    """Log probabilities of the answer's tokens."""
    token: dict[str, Any] = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}
    token["top_logprobs"] = [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105]}]
    choice: dict[str, Any] = {"index": 0, "finish_reason": None, "logprobs": {"content": [token]}}
    body = {"id": "gen-1", "created": 1, "model": "m", "usage": USAGE}
    if bench.streams:
        first = {**body, "object": "chat.completion.chunk", "choices": [{**choice, "delta": {"content": "Hi"}}]}
        bench.script(Reply.chunks([first, chunk({}, "stop")]))
    else:
        message = {"role": "assistant", "content": "Hi"}
        full = {
            **body,
            "object": "chat.completion",
            "choices": [{**choice, "finish_reason": "stop", "message": message}],
        }
        bench.script(Reply.raw(200, full))
    pieces = bench.responses(bench.model(logprobs=True))
    found = [one for piece in pieces for one in piece.logprobs or ()]
    return kept(found and found[0][0].logprob == token["logprob"])
