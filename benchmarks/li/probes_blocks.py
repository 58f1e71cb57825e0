"""Probes of what stands in messages beside text: images, documents, audio, video, cache points, citations."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

from benchmarks.li.bench import RUNS, blocks, probe, text_of, user
from benchmarks.probing import LOST, TAKES_ALL, YES, FailedError, kept, watched
from benchmarks.replies import call, chunk, reply, say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

IN = "Blocks in"
OUT = "Blocks out"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x01\x02\xff" * 10
PDF = b"%PDF-1.4\n" + b"\x00\x01\x02\xff" * 10
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00\x01\x02\xff" * 10
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"\x00\x01\x02\xff" * 10
HOST = "https://example.com"
TEXT = TextBlock(text="What is this?")
MARK = {"type": "ephemeral"}
CACHE = CachePoint(cache_control=CacheControl(type="ephemeral"))
TEXT_ONLY = "deepseek/deepseek-v3.2"
"""A model of the local gateway's list that takes no images."""


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _sent(bench: Bench, role: str, *given: Any) -> list[dict[str, Any]]:
    """Send a message of these blocks, and give the parts that arrived."""
    bench.script(say())
    extra = {"tool_call_id": "a"} if role == "tool" else {}
    first = [user("Hello")] if role != "system" else []
    model = bench.model(TAKES_ALL)
    bench.ask(model, [*first, ChatMessage(role=role, blocks=list(given), additional_kwargs=extra), user("And now?")])
    content = bench.sent["messages"][len(first)]["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _part(parts: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((part[kind] for part in parts if part["type"] == kind), {})


def _judge_image(bench: Bench, role: str, image: ImageBlock, url: str) -> str:
    sent = _part(_sent(bench, role, TEXT, image), "image_url")
    return kept(sent.get("url") == url, LOST if not sent else "no: changed")


@probe(IN)
def image_data(bench: Bench) -> str:
    """Image, bytes."""
    return _judge_image(bench, "user", ImageBlock(image=PNG), _uri("image/png", PNG))


@probe(IN)
def image_of_assistant(bench: Bench) -> str:
    """Image in a message of the assistant."""
    return _judge_image(bench, "assistant", ImageBlock(image=PNG), _uri("image/png", PNG))


@probe(IN)
def image_of_tool(bench: Bench) -> str:
    """Image in a tool's result."""
    return _judge_image(bench, "tool", ImageBlock(image=PNG), _uri("image/png", PNG))


@probe(IN, ways=RUNS)
def image_of_agents_tool(bench: Bench) -> str:
    """Image that a tool gives to a `FunctionAgent`."""

    def camera() -> Any:
        """Take a picture."""
        return [TEXT, ImageBlock(image=PNG)]

    bench.script(reply(call("camera", "{}", index=0, id="a"), finish="tool_calls"), say("A dot."))
    bench.agent([FunctionTool.from_defaults(camera)])
    content = next((one["content"] for one in bench.sent["messages"] if one["role"] == "tool"), "")
    return kept(isinstance(content, list) and _part(content, "image_url"))


@probe(IN)
def document_data(bench: Bench) -> str:
    """PDF, bytes."""
    sent = _part(_sent(bench, "user", TEXT, DocumentBlock(data=PDF, title="paper.pdf")), "file")
    return kept((sent.get("filename"), sent.get("file_data")) == ("paper.pdf", _uri("application/pdf", PDF)))


@probe(IN)
def document_url(bench: Bench) -> str:
    """PDF, URL: it is passed on, not downloaded."""
    sent = _part(_sent(bench, "user", TEXT, DocumentBlock(url=f"{HOST}/paper.pdf")), "file")
    return kept(sent.get("file_data") == f"{HOST}/paper.pdf")


@probe(IN)
def document_text(bench: Bench) -> str:
    """Plain-text file, under its own kind."""
    sent = _part(_sent(bench, "user", TEXT, DocumentBlock(data=b"Plain words.", title="notes.txt")), "file")
    return kept(sent.get("file_data") == _uri("text/plain", b"Plain words."), f"no: {str(sent.get('file_data'))[:20]}")


@probe(IN)
def audio_alone(bench: Bench) -> str:
    """Audio, its format found out."""
    return _judge_audio(_sent(bench, "user", TEXT, AudioBlock(audio=WAV)))


def _judge_audio(parts: list[dict[str, Any]]) -> str:
    sent = _part(parts, "input_audio")
    if sent.get("data") != base64.b64encode(WAV).decode():
        return LOST
    return kept(sent.get("format") == "wav", f"no: format {sent.get('format')}")


@probe(IN)
def video_data(bench: Bench) -> str:
    """Video, bytes."""
    sent = _part(_sent(bench, "user", TEXT, VideoBlock(video=MP4, video_mimetype="video/mp4")), "video_url")
    return kept(sent.get("url") == _uri("video/mp4", MP4))


@probe(IN)
def video_url(bench: Bench) -> str:
    """Video, URL."""
    sent = _part(_sent(bench, "user", TEXT, VideoBlock(url=f"{HOST}/a.mp4")), "video_url")
    return kept(sent.get("url") == f"{HOST}/a.mp4")


def _judge_mark(bench: Bench, role: str) -> str:
    sent = _sent(bench, role, TEXT, CACHE)
    return kept([part.get("cache_control") for part in sent] == [MARK])


@probe(IN)
def cache_in_system(bench: Bench) -> str:
    """`CachePoint` in a system message."""
    return _judge_mark(bench, "system")


@probe(IN)
def cache_in_user(bench: Bench) -> str:
    """`CachePoint` in a user's message."""
    return _judge_mark(bench, "user")


@probe(IN)
def cache_in_tool(bench: Bench) -> str:
    """`CachePoint` in a tool's result."""
    return _judge_mark(bench, "tool")


@probe(IN)
def citable(bench: Bench) -> str:
    """`CitableBlock`: the text goes out, with its title and source."""
    block = CitableBlock(title="Manual", source="manual.pdf", content=[TextBlock(text="Six hours.")])
    text = "".join(part.get("text", "") for part in _sent(bench, "user", block))
    return kept(all(word in text for word in ("Manual", "manual.pdf", "Six hours.")))


@probe(IN)
def refused_before_paying(bench: Bench) -> str:
    """An image for a model that takes none is refused before it is sent, the list of models once read."""
    model = bench.model(TEXT_ONLY)
    with watched():
        _ = model.metadata
    bench.script(say())
    error = bench.error(model, [ChatMessage(role="user", blocks=[TEXT, ImageBlock(image=PNG)])])
    if bench.asked:
        return "no: sent"
    return kept(error is not None and TEXT_ONLY in str(error), "no: the error does not name the model")


def _answered(bench: Bench, **message: Any) -> Any:
    """Let the gateway answer with a text and more, whole or in a stream, and give the answer."""
    if bench.streams:
        bench.script(Reply.chunks([chunk({"content": "Here."}), chunk(message), chunk({}, "stop")]))
    else:
        whole = {"role": "assistant", "content": "Here.", **message}
        choice = {"index": 0, "finish_reason": "stop", "message": whole}
        body = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        bench.script(Reply.raw(200, body))
    answer = bench.ask()
    if text_of(answer) != "Here.":
        raise FailedError(ValueError("the text is lost"))
    return answer


@probe(OUT)
def images(bench: Bench) -> str:
    """Images that a model makes are `ImageBlock`s."""
    image = {"type": "image_url", "image_url": {"url": _uri("image/png", PNG)}}
    found = blocks(_answered(bench, images=[image]), "ImageBlock")
    return kept(found and found[0].resolve_image().read() == PNG)


@probe(OUT)
def speech(bench: Bench) -> str:
    """Speech that a model makes is an `AudioBlock`."""
    spoken = {"id": "a1", "data": base64.b64encode(WAV).decode(), "transcript": "Here.", "expires_at": 1}
    found = blocks(_answered(bench, audio=spoken), "AudioBlock")
    return kept(found and found[0].resolve_audio().read() == WAV)


@probe(OUT)
def citations(bench: Bench) -> str:
    """Citations of a web search are `CitationBlock`s."""
    cited = {"url": f"{HOST}/a", "title": "A", "content": "Six hours.", "start_index": 0, "end_index": 4}
    found = blocks(_answered(bench, annotations=[{"type": "url_citation", "url_citation": cited}]), "CitationBlock")
    return kept(found and found[0].source == f"{HOST}/a")


@probe(OUT)
def refusal(bench: Bench) -> str:
    """A refusal is shown as the answer's text."""
    if bench.streams:
        bench.script(Reply.chunks([chunk({"refusal": "I must not."}), chunk({}, "stop")]))
    else:
        bench.script(Reply.text(None, refusal="I must not."))
    return YES if text_of(bench.ask()) == "I must not." else LOST
