"""Content blocks, in and out."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from kilocode_gateway import ConfigurationError
from kilocode_gateway.local import Reply

IMAGE_URL = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
IMAGE_DATA = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
PDF_DATA = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}}
PDF_URL = {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.test/a.pdf"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
VIDEO_URL = {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}
VIDEO_DATA = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}}

BLOCKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "image", "url": "https://x.test/a.png"}, IMAGE_URL),
    ({"type": "image", "base64": "QUJD", "mime_type": "image/png"}, IMAGE_DATA),
    ({"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": "image/png"}, IMAGE_DATA),
    ({"type": "image", "source_type": "url", "url": "https://x.test/a.png"}, IMAGE_URL),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}, IMAGE_DATA),
    ({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, IMAGE_URL),
    ({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}, IMAGE_URL),
    ({"type": "image_url", "image_url": "https://x.test/a.png"}, IMAGE_URL),
    (
        {"type": "image", "url": "https://x.test/a.png", "extras": {"detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
    ),
    ({"type": "file", "base64": "QUJD", "mime_type": "application/pdf", "filename": "a.pdf"}, PDF_DATA),
    ({"type": "file", "base64": "QUJD", "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}, PDF_DATA),
    (
        {"type": "file", "source_type": "base64", "data": "QUJD", "mime_type": "application/pdf", "filename": "a.pdf"},
        PDF_DATA,
    ),
    ({"type": "file", "url": "https://x.test/a.pdf"}, PDF_URL),
    ({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}}, PDF_DATA),
    (
        {"type": "file", "base64": "QUJD", "mime_type": "application/pdf"},
        {"type": "file", "file": {**PDF_DATA["file"], "filename": "document.pdf"}},
    ),
    (
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
        },
        PDF_DATA,
    ),
    ({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}, PDF_URL),
    (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Words."}},
        {"type": "text", "text": "Words."},
    ),
    ({"type": "text-plain", "text": "Words.", "mime_type": "text/plain"}, {"type": "text", "text": "Words."}),
    ({"type": "text-plain", "base64": "V29yZHMu", "mime_type": "text/plain"}, {"type": "text", "text": "Words."}),
    ({"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"}, AUDIO),
    ({"type": "audio", "source_type": "base64", "data": "QUJD", "mime_type": "audio/x-wav"}, AUDIO),
    ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, AUDIO),
    (
        {"type": "audio", "base64": "QUJD", "mime_type": "audio/mpeg"},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
    ),
    ({"type": "video", "url": "https://x.test/a.mp4"}, VIDEO_URL),
    ({"type": "video", "base64": "QUJD", "mime_type": "video/mp4"}, VIDEO_DATA),
    ({"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}, VIDEO_URL),
    ({"type": "media", "mime_type": "image/png", "data": "QUJD"}, IMAGE_DATA),
    (
        {"type": "non_standard", "value": {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}},
        AUDIO,
    ),
    ({"type": "something_new", "a": 1}, {"type": "something_new", "a": 1}),
]


@pytest.mark.parametrize(("block", "part"), BLOCKS)
async def test_what_goes_out(ask: Any, model: Any, gateway: Any, block: dict[str, Any], part: dict[str, Any]) -> None:
    question = {"type": "text", "text": "What is it?"}
    await ask(model, [HumanMessage([question, block])])
    assert gateway.last_request.json["messages"][0]["content"] == [question, part]


def test_images_and_documents_in_tool_results(model: Any, gateway: Any) -> None:
    call = {"name": "look", "args": {}, "id": "c1"}
    blocks: list[Any] = [BLOCKS[1][0], BLOCKS[9][0]]
    model.invoke([HumanMessage("Look."), AIMessage("", tool_calls=[call]), ToolMessage(blocks, tool_call_id="c1")])
    assert gateway.last_request.json["messages"][2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": [IMAGE_DATA, PDF_DATA],
    }


@pytest.mark.parametrize(
    "block",
    [{"type": "audio", "url": "https://x.test/a.wav"}, {"type": "image", "file_id": "f1"}, {"type": "file"}],
)
async def test_what_cannot_go_out_is_refused_with_advice(
    ask: Any, model: Any, gateway: Any, block: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="base64"):
        await ask(model, [HumanMessage([block])])
    assert gateway.requests == []


@pytest.mark.parametrize("place", ["block", "extras"])
def test_cache_control_is_kept_everywhere(model: Any, gateway: Any, place: str) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}

    def text() -> list[Any]:
        return [{"type": "text", "text": "Long.", **(mark if place == "block" else {"extras": mark})}]

    call = {"name": "look", "args": {}, "id": "c1"}
    model.invoke(
        [
            SystemMessage(text()),
            HumanMessage(text()),
            AIMessage(text(), tool_calls=[call]),
            ToolMessage(text(), tool_call_id="c1"),
        ]
    )
    sent = [message["content"] for message in gateway.last_request.json["messages"]]
    assert sent == [[{"type": "text", "text": "Long.", **mark}]] * 4


def test_names_of_speakers(model: Any, gateway: Any) -> None:
    model.invoke(
        [HumanMessage("Hello", name="ann"), AIMessage("Hi", name="bot"), HumanMessage(["And ", "now?"], name="ann")]
    )
    sent = gateway.last_request.json["messages"]
    assert [message.get("name") for message in sent] == ["ann", "bot", "ann"]
    assert sent[2]["content"] == [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}]


HEAD = {"id": "gen-1", "model": "m", "provider": "P"}


def _reply(message: dict[str, Any], *, stream: bool) -> Reply:
    if not stream:
        return Reply.raw(
            200,
            {**HEAD, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}]},
        )
    chunks = [{**HEAD, "choices": [{"index": 0, "delta": {name: value}}]} for name, value in message.items()]
    return Reply.chunks([*chunks, {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}])


@pytest.mark.parametrize("version", [None, "v1"])
async def test_citations(ask: Any, make_model: Any, gateway: Any, version: str | None) -> None:
    source = {"url": "https://x.test", "title": "X", "start_index": 0, "end_index": 4, "content": "So it is."}
    gateway.script(
        _reply(
            {"content": "So.", "annotations": [{"type": "url_citation", "url_citation": source}]},
            stream="stream" in ask.__name__,
        )
    )
    answer = await ask(make_model(output_version=version), "Is it so?")
    (block,) = answer.content_blocks
    expected = {
        "type": "citation",
        "url": "https://x.test",
        "title": "X",
        "start_index": 0,
        "end_index": 4,
        "cited_text": "So it is.",
    }
    assert (block["type"], block["text"], block["annotations"]) == ("text", "So.", [expected])
    assert answer.text == "So."


@pytest.mark.parametrize("version", [None, "v1"])
async def test_images_that_a_model_makes(ask: Any, make_model: Any, gateway: Any, version: str | None) -> None:
    images = [{**IMAGE_DATA, "index": 0}, {**IMAGE_URL, "index": 1}]
    gateway.script(_reply({"content": "Two cats.", "images": images}, stream="stream" in ask.__name__))
    model = make_model(output_version=version)
    answer = await ask(model, "Draw two cats.")
    blocks = [{name: value for name, value in block.items() if name != "index"} for block in answer.content_blocks]
    assert blocks == [
        {"type": "text", "text": "Two cats."},
        {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
        {"type": "image", "url": "https://x.test/a.png"},
    ]
    await ask(model, [HumanMessage("Draw two cats."), answer, HumanMessage("Make them blue.")])
    assert gateway.last_request.json["messages"][1] == {"role": "assistant", "content": "Two cats.", "images": images}


async def test_speech_that_a_model_makes(ask: Any, model: Any, gateway: Any) -> None:
    audio = {"id": "audio_1", "data": "QUJD", "transcript": "Hello"}
    gateway.script(_reply({"audio": audio}, stream="stream" in ask.__name__))
    answer = await ask(model, "Say hello.")
    assert answer.additional_kwargs["audio"] == audio
    await ask(model, [HumanMessage("Say hello."), answer, HumanMessage("Again.")])
    assert gateway.last_request.json["messages"][1]["audio"] == {"id": "audio_1"}
