"""Content blocks, in and out."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage

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
    ({"type": "file", "base64": "V29yZHMu", "mime_type": "text/plain"}, {"type": "text", "text": "Words."}),
    (
        {"type": "file", "url": "https://x.test/a.txt", "mime_type": "text/plain"},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "https://x.test/a.txt"}},
    ),
    ({"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"}, AUDIO),
    ({"type": "audio", "url": "data:audio/wav;base64,QUJD"}, AUDIO),
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
    ({"type": "input_image", "image_url": "https://x.test/a.png"}, IMAGE_URL),
    ({"type": "input_text", "text": "Words."}, {"type": "text", "text": "Words."}),
    (
        {"type": "non_standard", "value": {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}},
        AUDIO,
    ),
    ({"type": "something_new", "a": 1}, {"type": "something_new", "a": 1}),
]


@pytest.fixture
def model(make_model: Any) -> Any:
    """Give a model that is sent what its model may not take: how it is written is what counts here."""
    return make_model(check_inputs=False)


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


@pytest.mark.parametrize(
    "block", [block for block, _ in BLOCKS if block["type"] not in ("non_standard", "something_new")]
)
def test_cache_control_is_kept_on_every_kind_of_block(model: Any, gateway: Any, block: dict[str, Any]) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    marked: list[Any] = [{**block, "cache_control": mark}]
    call = {"name": "look", "args": {}, "id": "c1"}
    model.invoke([HumanMessage(marked), AIMessage("", tool_calls=[call]), ToolMessage(marked, tool_call_id="c1")])
    sent = gateway.last_request.json["messages"]
    assert [sent[place]["content"][0]["cache_control"] for place in (0, 2)] == [mark, mark]


@pytest.mark.parametrize("content", ["seen", ["seen"], [{"type": "text", "text": "seen"}]])
def test_cache_control_of_a_whole_tool_result(model: Any, gateway: Any, content: Any) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    model.invoke([HumanMessage([{"type": "tool_result", "tool_use_id": "c1", "content": content, **mark}])])
    (sent,) = gateway.last_request.json["messages"]
    assert sent["content"] == [{"type": "text", "text": "seen", **mark}]


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_cache_control_survives_a_checkpoint(ask: Any, model: Any, gateway: Any) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    text: list[Any] = [{"type": "text", "text": "Long.", **mark}]
    history = [SystemMessage(text), HumanMessage(text), AIMessage(text), HumanMessage(text)]
    await ask(model, KEPT["dumps and load"](history))
    assert [message["content"] for message in gateway.last_request.json["messages"]] == [text] * 4


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


def _blocks_only(history: list[Any]) -> list[Any]:
    """Keep what a program keeps that stores standard blocks and nothing else."""
    meta = {"model_provider": "kilocode"}
    return [AIMessage(content_blocks=message.content_blocks, response_metadata=meta) for message in history]


def _loaded(history: list[Any]) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` a beta
        return loads(dumps(history), allowed_objects="messages")


KEPT: dict[str, Any] = {"as it is": list, "dumps and load": _loaded, "blocks only": _blocks_only}
SAID = {
    "url": "https://x.test",
    "title": "X",
    "start_index": 0,
    "end_index": 4,
}
PARSED = {"type": "file", "file": {"hash": "h", "name": "a.pdf", "content": [{"type": "text", "text": "Words."}]}}
IMAGES = [{**IMAGE_DATA, "index": 0}, {**IMAGE_URL, "index": 1}]


def _plain(blocks: list[Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in block.items() if name != "index"} for block in blocks]


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("nested", [True, False])
async def test_citations(ask: Any, model: Any, gateway: Any, nested: bool) -> None:
    note = {**SAID, "content": "So it is."}
    note = {"type": "url_citation", **({"url_citation": note} if nested else note)}
    gateway.script(_reply({"content": "So.", "annotations": [note]}, stream="stream" in ask.__name__))
    answer = await ask(model, "Is it so?")
    for keep in KEPT.values():
        (kept,) = keep([answer])
        cited = [{"type": "citation", **SAID, "cited_text": "So it is."}]
        assert _plain(kept.content_blocks) == [{"type": "text", "text": "So.", "annotations": cited}]
        assert kept.text == "So."
        await ask(model, [HumanMessage("Is it so?"), kept, HumanMessage("And then?")])
        assert gateway.last_request.json["messages"][1] == {"role": "assistant", "content": "So."}


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
async def test_a_file_that_was_read_is_not_read_again(ask: Any, model: Any, gateway: Any) -> None:
    notes = [{"type": "url_citation", "url_citation": SAID}, PARSED]
    gateway.script(_reply({"content": "So.", "annotations": notes}, stream="stream" in ask.__name__))
    answer = await ask(model, "What does it say?")
    for keep in KEPT.values():
        await ask(model, [HumanMessage("What does it say?"), *keep([answer]), HumanMessage("And then?")])
        assert gateway.last_request.json["messages"][1] == {
            "role": "assistant",
            "content": "So.",
            "annotations": [PARSED],
        }


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("text", ["Two cats.", ""])
async def test_images_that_a_model_makes(ask: Any, model: Any, gateway: Any, text: str) -> None:
    gateway.script(_reply({"content": text, "images": IMAGES}, stream="stream" in ask.__name__))
    answer = await ask(model, "Draw two cats.")
    for name, keep in KEPT.items():
        (kept,) = keep([answer])
        assert _plain(kept.content_blocks) == [
            *([{"type": "text", "text": text}] if text else []),
            {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
            {"type": "image", "url": "https://x.test/a.png"},
        ]
        await ask(model, [HumanMessage("Draw two cats."), kept, HumanMessage("Make them blue.")])
        images = [IMAGE_DATA, IMAGE_URL] if name == "blocks only" else IMAGES
        sent = gateway.last_request.json["messages"][1]
        assert (sent["content"], sent["images"]) == (text, images)


async def test_images_that_stand_in_the_content(ask: Any, model: Any, gateway: Any) -> None:
    parts = [{"type": "text", "text": "A cat."}, IMAGE_DATA]
    gateway.script(_reply({"content": parts}, stream="stream" in ask.__name__))
    answer = await ask(model, "Draw a cat.")
    assert [block["type"] for block in answer.content_blocks] == ["text", "image"]
    await ask(model, [HumanMessage("Draw a cat."), answer, HumanMessage("Make it blue.")])
    sent = gateway.last_request.json["messages"][1]
    assert (sent["content"], sent["images"]) == ("A cat.", [IMAGE_DATA])


async def test_speech_that_a_model_makes(ask: Any, model: Any, gateway: Any) -> None:
    audio = {"id": "audio_1", "data": "QUJD", "transcript": "Hello"}
    gateway.script(_reply({"audio": audio}, stream="stream" in ask.__name__))
    answer = await ask(model, "Say hello.")
    assert answer.additional_kwargs["audio"] == audio
    await ask(model, [HumanMessage("Say hello."), answer, HumanMessage("Again.")])
    assert gateway.last_request.json["messages"][1]["audio"] == {"id": "audio_1"}


# Content that cannot be read

ODD: list[tuple[Any, str]] = [
    (HumanMessage([{"type": ["a"]}]), "'type' of a content block must be a string such as 'text' or 'image', got"),
    (AIMessage([{"type": "tool_use", "id": {}}]), "'id' of a content block must be a string such as 'call_1', got"),
    (HumanMessage([{"type": "text", "text": 5}]), "'text' of a content block must be a string, got int"),
    (HumanMessage([{"type": "non_standard", "value": {"type": 5}}]), "'type' of a content block .* got 5"),
    (HumanMessage.model_construct(content=5), "must be a string or a list of blocks, got int"),
    (AIMessage.model_construct(content=None), "must be a string or a list of blocks, got None"),
    (SystemMessage.model_construct(content=[5]), "content block must be a string, or a dict .* got int"),
    (
        HumanMessage([{"type": "tool_result", "tool_use_id": "a", "content": 5}]),
        "must be a string or a list of blocks, got int",
    ),
    (
        HumanMessage([{"type": "tool_result", "content": {"text": "a"}, "cache_control": {"type": "ephemeral"}}]),
        "must be a string or a list of blocks, got dict",
    ),
    (
        AIMessage("", tool_calls=[{"name": "save", "args": {"when": {1}}, "id": "1"}]),
        "arguments of a call of 'save' must be text.*to become JSON: Object of type set",
    ),
    (RemoveMessage(id="1"), "RemoveMessage is no message of a chat.*add_messages, or leave it out"),
]


@pytest.mark.parametrize(("message", "said"), ODD, ids=map(str, range(len(ODD))))
async def test_odd_content_is_refused_and_named(ask: Any, model: Any, gateway: Any, message: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        await ask(model, [HumanMessage("Hello"), message])
    assert isinstance(caught.value, ModelError)
    assert gateway.requests == []


ODD_BESIDE: list[dict[str, Any]] = [
    {"annotations": 5},
    {"tool_call_extras": 5},
    {"tool_call_extras": {"1": 5}},
    {"tool_call_arguments": ["a"]},
    {"reasoning": "Hm.", "reasoning_replay": 5},
    {"reasoning": "Hm.", "reasoning_replay": [{}]},
]


@pytest.mark.parametrize("extra", ODD_BESIDE, ids=str)
def test_odd_things_beside_the_content_do_no_harm(model: Any, gateway: Any, extra: dict[str, Any]) -> None:
    call = {"name": "save", "args": {}, "id": "1"}
    model.invoke([AIMessage("", additional_kwargs=extra, tool_calls=[call]), ToolMessage("Saved.", tool_call_id="1")])
    assert gateway.last_request.json["messages"][0]["tool_calls"][0]["function"]["name"] == "save"


@pytest.mark.parametrize("block", [{"extras": 5}, {"reasoning": 5}, {"annotations": 5}], ids=str)
def test_odd_thoughts_do_no_harm(model: Any, gateway: Any, block: dict[str, Any]) -> None:
    model.invoke([AIMessage([{"type": "reasoning", "reasoning": "Hm.", **block}, "Yes."]), HumanMessage("Go on.")])
    assert gateway.last_request.json["messages"][0]["content"] == "Yes."
