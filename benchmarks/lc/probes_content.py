"""Probes of what goes in and comes out: files, cache marks, images, citations, odd bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from benchmarks.lc.bench import ALL, INVOKE, STREAM, probe
from benchmarks.probing import LOST, TAKES_ALL, holds, kept
from benchmarks.replies import OUTER, reply, say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

IN = "Content in"
OUT = "Content out"
DATA = "QUJD"
MARK = {"cache_control": {"type": "ephemeral"}}


def _judge_part(bench: Bench, block: dict[str, Any], kind: str, wanted: str) -> str:
    """Send a block, and look for a part of that type with that text among the bytes that arrived."""
    bench.script(say())
    bench.ask(bench.model(TAKES_ALL), [HumanMessage([{"type": "text", "text": "What is it?"}, block])])
    parts = bench.sent["messages"][0]["content"]
    return kept(any(part.get("type") == kind and holds(part, wanted) for part in parts), "no: not sent")


@probe(IN, ways=INVOKE)
def image_data(bench: Bench) -> str:
    """Image, base64."""
    block = {"type": "image", "base64": DATA, "mime_type": "image/png"}
    return _judge_part(bench, block, "image_url", f"data:image/png;base64,{DATA}")


@probe(IN, ways=INVOKE)
def image_url(bench: Bench) -> str:
    """Image, URL."""
    url = "https://x.invalid/a.png"
    return _judge_part(bench, {"type": "image", "url": url}, "image_url", url)


@probe(IN, ways=INVOKE)
def pdf_data(bench: Bench) -> str:
    """PDF, base64."""
    block = {"type": "file", "base64": DATA, "mime_type": "application/pdf", "filename": "a.pdf"}
    return _judge_part(bench, block, "file", f"data:application/pdf;base64,{DATA}")


@probe(IN, ways=INVOKE)
def pdf_url(bench: Bench) -> str:
    """PDF, URL."""
    url = "https://x.invalid/a.pdf"
    block = {"type": "file", "url": url, "mime_type": "application/pdf", "filename": "a.pdf"}
    return _judge_part(bench, block, "file", url)


@probe(IN, ways=INVOKE)
def audio_in(bench: Bench) -> str:
    """Audio."""
    return _judge_part(bench, {"type": "audio", "base64": DATA, "mime_type": "audio/wav"}, "input_audio", DATA)


@probe(IN, ways=INVOKE)
def video_url(bench: Bench) -> str:
    """Video, URL."""
    url = "https://x.invalid/a.mp4"
    return _judge_part(bench, {"type": "video", "url": url, "mime_type": "video/mp4"}, "video_url", url)


@probe(IN, ways=INVOKE)
def video_data(bench: Bench) -> str:
    """Video, base64."""
    block = {"type": "video", "base64": DATA, "mime_type": "video/mp4"}
    return _judge_part(bench, block, "video_url", f"data:video/mp4;base64,{DATA}")


@probe(IN, ways=INVOKE)
def plain_text(bench: Bench) -> str:
    """Plain-text file."""
    block = {"type": "text-plain", "text": "Words of a file.", "mime_type": "text/plain"}
    return _judge_part(bench, block, "text", "Words of a file.")


@probe(IN, ways=INVOKE)
def cache_marks(bench: Bench) -> str:
    """`cache_control` on system and user texts."""
    bench.script(say())
    text = [{"type": "text", "text": "Long.", **MARK}]
    bench.ask(bench.model(), [SystemMessage(text), HumanMessage(text)])
    return kept(all(message["content"] == text for message in bench.sent["messages"]))


@probe(IN, ways=INVOKE)
def cache_marks_of_tools(bench: Bench) -> str:
    """`cache_control` on tools' results."""
    bench.script(say())
    text = [{"type": "text", "text": "Long.", **MARK}]
    call = {"name": "look", "args": {}, "id": "c1"}
    bench.ask(
        bench.model(), [HumanMessage("Go."), AIMessage("", tool_calls=[call]), ToolMessage(text, tool_call_id="c1")]
    )
    return kept(holds(bench.sent["messages"][2], "ephemeral"))


@probe(OUT, ways=ALL)
def images_out(bench: Bench) -> str:
    """Images that a model makes."""
    image = {"index": 0, "type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
    bench.script(reply({"content": "A cat."}, {"images": [image]}))
    return kept(holds(bench.ask(), DATA))


@probe(OUT, ways=ALL)
def speech_out(bench: Bench) -> str:
    """Speech that a model makes."""
    bench.script(reply({"content": None, "audio": {"id": "audio_1", "data": DATA, "transcript": "Hello"}}))
    return kept(holds(bench.ask(), DATA))


@probe(OUT, ways=ALL)
def citations_out(bench: Bench) -> str:
    """Citations of a web search."""
    cited = {"url": "https://x.invalid/page", "title": "X", "start_index": 0, "end_index": 3, "content": "So it is."}
    bench.script(reply({"content": "So."}, {"annotations": [{"type": "url_citation", "url_citation": cited}]}))
    return kept(holds(bench.ask(), cited["url"]))


@probe(OUT, ways=ALL)
def plain_answer(bench: Bench) -> str:
    """A plain answer."""
    bench.script(say("Hello there."))
    return kept(bench.ask().text == "Hello there.")


@probe(OUT, ways=STREAM)
def split_anywhere(bench: Bench) -> str:
    """A stream cut into single bytes, with CRLF line ends and other scripts."""
    text = "Grüße, 世界 🌍."
    bench.script(say(text, split=1, newline="\r\n", comments=3))
    return kept(bench.ask().text == text, "no: garbled")


@probe(OUT, ways=ALL)
def without_fingerprint(bench: Bench) -> str:
    """Replies without the key `system_fingerprint` are read."""
    outer = {name: value for name, value in OUTER.items() if name != "system_fingerprint"}
    parts: list[tuple[dict[str, Any], str | None]] = [({"content": "Here."}, None), ({}, "stop")]
    chunks = [{**outer, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in parts]
    bench.script(Reply.chunks(chunks))
    return kept(bench.ask().text == "Here.", LOST)
