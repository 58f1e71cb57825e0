"""A gateway on loopback, in a process of its own, that only sends bytes which were made before.

The first part of a path names the answer: `/text-2000/chat/completions` streams 2,000 pieces of text. A stream goes out
in one write, each event in an HTTP chunk of its own, as servers frame them; `-apart` lets each arrive by itself, and
`-joined` puts many into each HTTP chunk, as proxies do that frame anew.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DELAY = 0.05
"""Seconds that `delayed` waits before it answers."""
PAUSE = 0.0003
"""Seconds between two events that arrive apart."""

JOINED = 16_384
"""Bytes of an HTTP chunk that holds many events."""

_OUTER: dict[str, Any] = {
    "id": "gen-1760000000-speed",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": "anthropic/claude-4.6-sonnet-20260217",
    "provider": "LocalProvider",
    "system_fingerprint": None,
}
_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 2000,
    "total_tokens": 2100,
    "cost": 0.0125,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


def _event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": finish,
        "native_finish_reason": finish,
        "logprobs": None,
    }
    chunk = {**_OUTER, "choices": [choice], **more}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _pieces(kind: str, number: int) -> list[dict[str, Any]]:
    """Write the deltas of a stream as OpenRouter's router does."""
    if kind == "text":
        return [{"role": "assistant", "content": f"word{place} "} for place in range(number)]
    if kind == "reasoning":
        return [
            {
                "role": "assistant",
                "content": "",
                "reasoning": f"thought{place} ",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": f"thought{place} ", "format": "unknown", "index": 0}
                ],
            }
            for place in range(number)
        ]
    # A tool call's arguments: a JSON object that arrives a few characters at a time.
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "write", "arguments": '{"text":"'}}
    calls = [first, *({"index": 0, "function": {"arguments": f"word{place} "}} for place in range(number - 2))]
    calls.append({"index": 0, "function": {"arguments": '"}'}})
    return [{"role": "assistant", "content": None, "tool_calls": [call]} for call in calls]


def _stream(kind: str, number: int) -> list[bytes]:
    events = [_event(delta) for delta in _pieces(kind, number)]
    finish = "tool_calls" if kind == "tools" else "stop"
    return [*events, _event({}, finish), _event({}, usage=_USAGE), b"data: [DONE]\n\n"]


def _json(kind: str, number: int) -> bytes:
    if kind == "catalog":
        found: Any = {"data": [_model(place) for place in range(number)]}
    else:
        message = {"role": "assistant", "content": "Hello there."}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "native_finish_reason": "stop"}
        found = {**_OUTER, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return json.dumps(found, separators=(",", ":")).encode()


def _model(place: int) -> dict[str, Any]:
    """Write an entry like the gateway's: about 80 values and 900 bytes."""
    parameters = (
        "frequency_penalty logprobs max_tokens min_p presence_penalty repetition_penalty response_format seed stop"
    )
    return {
        "id": f"vendor-{place % 40}/model-{place}",
        "name": f"Vendor {place % 40}: Model {place}",
        "created": 1_760_000_000 + place,
        "description": f"The model {place} of vendor {place % 40}.",
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image", "pdf"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "top_provider": {"is_moderated": False, "context_length": 200_000, "max_completion_tokens": None},
        "pricing": {
            "prompt": f"0.00000{place}",
            "completion": f"0.0000{place}",
            "input_cache_read": "0.00000075",
            "web_search": "0.005",
        },
        "context_length": 200_000,
        "supported_parameters": ["tools", "tool_choice", "reasoning", *parameters.split()],
        "isFree": False,
        "opencode": {
            "variants": {name: {"reasoning": {"enabled": True, "effort": name}} for name in ("low", "medium", "high")}
        },
    }


@functools.cache
def answer(name: str) -> list[bytes]:
    """Give the bytes of an answer by its name, headers included, in the pieces in which they are written."""
    kind, _, rest = name.partition("-")
    number = int(re.match(r"\d*", rest)[0] or 0)  # type: ignore[index]  # matches always
    if kind not in ("text", "reasoning", "tools"):
        body = _json(kind, number)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return [head.encode() + body]
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    events = _stream(kind, number)
    if rest.endswith("-joined"):
        whole = b"".join(events)
        events = [whole[place : place + JOINED] for place in range(0, len(whole), JOINED)]
    framed = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    parts = [head.encode(), *framed, b"0\r\n\r\n"]
    return parts if rest.endswith("-apart") else [b"".join(parts)]


class _Connection(asyncio.Protocol):
    """Reads requests, whose bodies nobody looks at, and writes the answer that the path names."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            length = re.search(rb"content-length: (\d+)", head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._read) < size:
                return
            del self._read[:size]
            name, *_, what = head.split(b" ", 2)[1].decode().split("/")[1:]
            # Whoever looks at the list of models before a request finds one.
            self._answer("catalog-1" if what == "models" and not name.startswith("catalog") else name)

    def _answer(self, name: str) -> None:
        parts = answer(name)
        loop = asyncio.get_running_loop()
        if name == "delayed":
            loop.call_later(DELAY, self._transport.write, parts[0])
        elif len(parts) == 1:
            self._transport.write(parts[0])
        else:
            for place, part in enumerate(parts):
                loop.call_later(place * PAUSE, self._transport.write, part)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The process that began this one holds its standard input open while it wants it to run.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


def start() -> tuple[subprocess.Popen[str], str]:
    """Start the server; gives its process, which ends with its standard input, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or not (port := process.stdout.readline().strip()):
        raise RuntimeError("expected the server to tell its port, it told nothing")
    return process, f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    asyncio.run(_serve())
