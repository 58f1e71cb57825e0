"""Media in messages: what is base64 already goes as it is, anything else is encoded, and nothing is held twice."""

from __future__ import annotations

import base64
import binascii
import itertools
import tracemalloc

import pytest
from llama_index.core.base.llms.types import VideoBlock
from llama_index.core.llms import AudioBlock, ChatMessage, DocumentBlock, ImageBlock

from kilocode_gateway.encoding import encoded
from llama_index_kilocode._messages import to_wire

RAW = b"\x89PNG" + bytes(range(256)) * 4_000
BLOCKS = {
    "image": lambda: ImageBlock(image=RAW),
    "document": lambda: DocumentBlock(data=RAW),
    "audio": lambda: AudioBlock(audio=RAW),
    "video": lambda: VideoBlock(video=RAW),
}


def sent(data: bytes) -> str:
    """Give the data of an image that holds these bytes, which no validation has seen."""
    block = ImageBlock.model_construct(image=data, path=None, url=None, image_mimetype="image/png", detail=None)
    (message,) = to_wire([ChatMessage.model_construct(role="user", blocks=[block], additional_kwargs={})])
    found: str = message["content"][0]["image_url"]["url"].removeprefix("data:image/png;base64,")
    return found


def expected(data: bytes) -> str:
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        data = base64.b64encode(data)
    return data.decode()


@pytest.mark.parametrize("length", range(1, 7))
def test_bytes_are_sent_as_they_are_only_where_they_are_base64(length: int) -> None:
    for some in itertools.product(b"Az+=\n", repeat=length):
        assert sent(bytes(some)) == expected(bytes(some))


@pytest.mark.parametrize(
    "data",
    [
        b"QUJD" * 50_000,
        b"QUJD" * 50_000 + b"QQ==",
        b"QUJD" * 50_000 + b"QUI=",
        b"QUJD" * 50_000 + b"Q===",
        b"QUJD" * 50_000 + b"====",
        b"QUJD" * 50_000 + b"QU",
        b"QU==" * 50_000,
        b"QUJD" * 50_000 + b"QU\n=",
        b"QU-_" * 50_000,
        b"QUJD\n" * 50_000,
        b"=QUJ" + b"QUJD" * 50_000,
        b"QUJD" * 50_000 + b"\xff\xff\xff\xff",
        RAW,
    ],
)
def test_long_bytes_are_sent_as_they_are_only_where_they_are_base64(data: bytes) -> None:
    assert sent(data) == expected(data)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_request_with_media_takes_little_more_than_two_copies(kind: str) -> None:
    messages = [ChatMessage(role="user", blocks=[BLOCKS[kind]()])]
    to_wire(messages)  # reads the machine's list of file types, once
    tracemalloc.start()
    try:
        written = encoded({"messages": to_wire(messages)})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert base64.b64encode(RAW) in written
    assert peak < 2.4 * len(base64.b64encode(RAW))
