"""Probes of events and callbacks: whether they are complete, what they hold, what they keep open."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from benchmarks.li.bench import ALL, STREAMS, probe, text_of
from benchmarks.li.probes_entry import judge_leaving
from benchmarks.probing import KEY, kept
from benchmarks.replies import chunk, reply, say, upstream
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.li.bench import Bench

GROUP = "Events and callbacks"
SECRET = "a-secret-of-one-call"  # noqa: S105 - invented, and looked for


class _Recorder(BaseEventHandler):
    """Keeps the events."""

    seen: list[Any] = []  # noqa: RUF012 - a field of pydantic's, copied for each

    @classmethod
    def class_name(cls) -> str:
        """Give the name of the class."""
        return "Recorder"

    def handle(self, event: Any, **_: Any) -> None:
        """Keep an event."""
        self.seen.append(event)


@contextmanager
def _recorded() -> Iterator[list[Any]]:
    root = get_dispatcher()
    before = list(root.event_handlers)
    handler = _Recorder()
    root.add_event_handler(handler)
    try:
        yield handler.seen
    finally:
        root.event_handlers = before


def _kinds(seen: list[Any]) -> list[str]:
    return [type(event).__name__ for event in seen]


@probe(GROUP, ways=ALL)
def complete(bench: Bench) -> str:
    """A start and an end, with the answer in it."""
    bench.script(say("Hello there."))
    with _recorded() as seen:
        bench.ask()
    kinds = _kinds(seen)
    starts = [one for one in kinds if one in ("LLMChatStartEvent", "LLMCompletionStartEvent")]
    ends = [one for one in seen if type(one).__name__ in ("LLMChatEndEvent", "LLMCompletionEndEvent")]
    if not starts or not ends:
        return f"no: {', '.join(dict.fromkeys(kinds)) or 'none'}"
    return kept(text_of(ends[-1].response) == "Hello there.", "no: without the answer")


@probe(GROUP, ways=STREAMS)
def in_progress(bench: Bench) -> str:
    """Each piece of a stream is reported."""
    bench.script(reply(*[{"content": "word "}] * 5))
    with _recorded() as seen:
        pieces = bench.responses()
    told = sum("InProgress" in kind for kind in _kinds(seen))
    return kept(len(pieces) > 1 and told >= len(pieces) - 1, f"no: {told} of {len(pieces)}")


@probe(GROUP, ways=STREAMS)
def failure(bench: Bench) -> str:
    """An error in a stream is reported."""
    bench.script(Reply.chunks([chunk({"content": "Half"}), {"error": {"message": "Gone", "code": 502}}], done=False))
    with _recorded() as seen:
        error = bench.error()
    return kept(error is not None and "ExceptionEvent" in _kinds(seen), "no: not reported")


@probe(GROUP, ways=("chat", "achat", "complete", "acomplete"))
def failure_of_whole(bench: Bench) -> str:
    """An error of a whole answer is reported."""
    bench.script(upstream(400, "Gone"))
    with _recorded() as seen:
        error = bench.error()
    kinds = _kinds(seen)
    return kept(error is not None and {"ExceptionEvent", "SpanDropEvent"} & set(kinds), "no: not reported")


@probe(GROUP, ways=ALL)
def callbacks(bench: Bench) -> str:
    """A callback handler gets a start and an end."""
    bench.script(say())
    debug = LlamaDebugHandler(print_trace_on_end=False)
    bench.ask(bench.model(callback_manager=CallbackManager([debug])))
    return kept(len(debug.get_llm_inputs_outputs()) == 1, f"no: {len(debug.get_llm_inputs_outputs())} pairs")


def _judge_secret(bench: Bench, secret: str, model_settings: dict[str, Any], call: dict[str, Any]) -> str:
    bench.script(say())
    debug = LlamaDebugHandler(print_trace_on_end=False)
    with _recorded() as seen:
        bench.ask(bench.model(callback_manager=CallbackManager([debug]), **model_settings), **call)
    if secret not in str(bench.latest.header_pairs):
        return "no: not sent"
    payloads = [event.payload for pair in debug.get_llm_inputs_outputs() for event in pair]
    if not seen or not payloads:
        return "no: no events"
    shown = {"events": f"{seen} {[event.model_dump() for event in seen]}", "callbacks": str(payloads)}
    found = [name for name, text in shown.items() if secret in text]
    return kept(not found, f"no: in {' and '.join(found)}")


@probe(GROUP, ways=ALL)
def no_key(bench: Bench) -> str:
    """The key stands in none of them."""
    return _judge_secret(bench, KEY, {}, {})


@probe(GROUP, ways=ALL)
def no_headers_of_a_call(bench: Bench) -> str:
    """A call's `extra_headers` stand in none of them."""
    return _judge_secret(bench, SECRET, {}, {"extra_headers": {"x-call": SECRET}})


@probe(GROUP, ways=STREAMS)
def left_while_listened_to(bench: Bench) -> str:
    """Leaving a stream early closes its connection while somebody keeps the events."""
    with _recorded():
        return judge_leaving(bench)
