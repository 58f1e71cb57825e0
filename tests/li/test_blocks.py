"""Content blocks: what each becomes on the wire, and what comes out of an answer."""

from __future__ import annotations

import base64
import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.local import Reply
from llama_index_kilocode._messages import to_wire

if TYPE_CHECKING:
    from pathlib import Path

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
TAKES_FILES = "IOBase" in str(ImageBlock.model_fields["image"].annotation)
"""Older frameworks take bytes, paths and URLs only."""


def uri(mimetype: str, data: bytes) -> str:
    return f"data:{mimetype};base64,{base64.b64encode(data).decode()}"


def parts(*blocks: Any, role: str = "user") -> Any:
    given = {"tool_call_id": "c1"} if role == "tool" else {}
    return to_wire([ChatMessage(role=role, blocks=list(blocks), additional_kwargs=given)])[0]["content"]


@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
def test_images_by_url_stand_in_every_role(role: str) -> None:
    assert parts(TextBlock(text="Look."), ImageBlock(url="https://example.com/cat.png", detail="low"), role=role) == [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
    ]


def test_images_by_bytes_path_and_file(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    nameless = tmp_path / "dot"
    nameless.write_bytes(PNG)
    expected = [{"type": "image_url", "image_url": {"url": uri("image/png", PNG)}}]
    for block in (
        ImageBlock(image=PNG),
        ImageBlock(image=base64.b64encode(PNG)),
        ImageBlock(path=path),
        ImageBlock(path=nameless),
        ImageBlock(url=uri("image/png", PNG)),
        *([ImageBlock(image=io.BytesIO(PNG))] if TAKES_FILES else []),
    ):
        assert parts(block) == expected


def test_documents(tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(PDF)
    data = uri("application/pdf", PDF)
    assert parts(DocumentBlock(path=path)) == [{"type": "file", "file": {"filename": "paper.pdf", "file_data": data}}]
    assert parts(DocumentBlock(data=PDF, title="My paper")) == [
        {"type": "file", "file": {"filename": "My paper.pdf", "file_data": data}}
    ]
    assert parts(DocumentBlock(data=PDF)) == [
        {"type": "file", "file": {"filename": "input_document.pdf", "file_data": data}}
    ]


@pytest.mark.disable_socket
def test_a_documents_url_is_passed_on_not_downloaded() -> None:
    assert parts(DocumentBlock(url="https://example.com/papers/one.pdf?v=2")) == [
        {"type": "file", "file": {"filename": "one.pdf", "file_data": "https://example.com/papers/one.pdf?v=2"}}
    ]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a%20b.pdf#page=2", "a b.pdf"),
        ("https://example.com/", "input_document"),
        (uri("application/pdf", PDF * 3), "input_document.pdf"),
    ],
)
def test_a_documents_name_is_read_from_its_url(url: str, name: str) -> None:
    assert parts(DocumentBlock(url=url)) == [{"type": "file", "file": {"filename": name, "file_data": url}}]


@pytest.mark.parametrize(
    ("block", "name", "mimetype"),
    [
        (DocumentBlock(data=PDF, title="Paper v1.2"), "Paper v1.2.pdf", "application/pdf"),
        (DocumentBlock(data=b"Plain words."), "input_document.txt", "text/plain"),
        (DocumentBlock(data=b"a,b", title="table.csv"), "table.csv", "text/csv"),
        (DocumentBlock(data=b"\xff\xfe\xfd"), "input_document.pdf", "application/pdf"),
    ],
)
def test_documents_of_every_kind_are_called_what_they_are(block: DocumentBlock, name: str, mimetype: str) -> None:
    (file,) = (part["file"] for part in parts(block))
    assert (file["filename"], file["file_data"].split(";")[0]) == (name, f"data:{mimetype}")


def test_audio_with_its_format_found_out(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(WAV)
    expected = [{"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}}]
    for block in (
        AudioBlock(audio=WAV),
        AudioBlock(path=path),
        *([AudioBlock(audio=io.BytesIO(WAV))] if TAKES_FILES else []),
        AudioBlock(url=uri("audio/wav", WAV)),
    ):
        assert parts(block) == expected
    assert parts(AudioBlock(audio=WAV, format="mp3"))[0]["input_audio"]["format"] == "mp3"


def test_audio_by_url_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="Download it"):
        parts(AudioBlock(url="https://example.com/hello.wav"))


def test_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(MP4)
    expected = [{"type": "video_url", "video_url": {"url": uri("video/mp4", MP4)}}]
    assert parts(VideoBlock(video=MP4)) == parts(VideoBlock(path=path)) == expected
    assert parts(VideoBlock(url="https://example.com/clip.mp4")) == [
        {"type": "video_url", "video_url": {"url": "https://example.com/clip.mp4"}}
    ]


def test_an_empty_block_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no data"):
        parts(ImageBlock())
    empty = tmp_path / "empty"
    empty.touch()
    for block in (ImageBlock(image=b""), AudioBlock(audio=b""), VideoBlock(path=empty), DocumentBlock(data=b"")):
        with pytest.raises(ConfigurationError, match=r"holds no data.* empty|holds no data: expected"):
            parts(block)


@pytest.mark.parametrize("kind", [ImageBlock, VideoBlock, DocumentBlock, AudioBlock])
def test_a_file_of_this_machine_is_no_url(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'file:///cat\.png'\. Pass path="):
        parts(kind(url="file:///cat.png"))


@pytest.mark.parametrize("role", ["tool", "function"])
@pytest.mark.parametrize("given", [{}, {"tool_call_id": ""}, {"name": "now"}])
async def test_a_tools_result_says_to_which_call_it_belongs(
    chat: Any, llm: KiloCode, gateway: LocalGateway, role: str, given: dict[str, Any]
) -> None:
    messages = [
        ChatMessage(role="user", content="When?"),
        ChatMessage(role=role, content="Noon.", additional_kwargs=given),
    ]
    with pytest.raises(ConfigurationError, match=r"Message 2 is a tool's result .*tool_call_id"):
        await chat(llm, messages)
    assert gateway.requests == []


def test_cache_points_mark_the_part_before() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    hour = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
    messages = [
        ChatMessage(role="system", blocks=[TextBlock(text="Long."), point, TextBlock(text="Short.")]),
        ChatMessage(role="user", content="Hi."),
        ChatMessage(role="user", blocks=[hour, TextBlock(text="Again.")]),
    ]
    assert to_wire(messages) == [
        {
            "role": "system",
            "content": [
                {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "Short."},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {"role": "user", "content": "Again."},
    ]
    marked = ChatMessage(role="user", content="Hi.", additional_kwargs={"cache_control": {"type": "ephemeral"}})
    assert to_wire([marked])[0]["content"] == [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}]


def test_cache_points_pass_over_what_cannot_be_marked() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    call = ToolCallBlock(tool_call_id="c1", tool_name="now", tool_kwargs={})
    messages = [
        ChatMessage(role="user", content="What time is it?"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", blocks=[point, TextBlock(text="Noon.")], additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(role="user", blocks=[TextBlock(text="And now?"), TextBlock(text=""), point]),
    ]
    wire = to_wire(messages)
    assert wire[0]["content"] == [{"type": "text", "text": "What time is it?", **mark}]
    assert (wire[1]["content"], wire[2]["content"]) == (None, "Noon.")
    assert wire[3]["content"] == [{"type": "text", "text": "And now?", **mark}, {"type": "text", "text": ""}]
    assert parts(TextBlock(text=""), point) == ""


def test_cache_points_in_tool_results_and_after_images() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    image = ImageBlock(url="https://example.com/cat.png")
    content = parts(TextBlock(text="A cat."), image, point, role="tool")
    assert [part.get("cache_control") for part in content] == [None, {"type": "ephemeral"}]


def test_a_block_of_a_users_own_class_is_sent_as_what_it_is() -> None:
    class Photo(ImageBlock):
        pass

    assert parts(Photo(url="https://example.com/cat.png")) == parts(ImageBlock(url="https://example.com/cat.png"))


def test_text_blocks_are_joined_as_the_framework_joins_them() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="One."), TextBlock(text="Two.")])
    assert to_wire([message])[0]["content"] == message.content == "One.\nTwo."


def test_citable_and_cited() -> None:
    citable = CitableBlock(title="Manual", source="manual.pdf", content=[TextBlock(text="Six hours.")])
    assert parts(citable) == "Title: Manual\nSource: manual.pdf\nSix hours."
    cited = CitationBlock(
        cited_content=TextBlock(text="Six hours."), source="s", title="t", additional_location_info={}
    )
    assert parts(TextBlock(text="It lives for six hours."), cited, role="assistant") == "It lives for six hours."
    assert parts(cited) == "Six hours."


def test_roles_of_other_makers() -> None:
    roles = ["developer", "chatbot", "model", "function"]
    given = {"tool_call_id": "c1"}
    wire = to_wire([ChatMessage(role=role, content="x", additional_kwargs=given) for role in roles])
    assert [message["role"] for message in wire] == ["system", "assistant", "assistant", "tool"]


async def test_images_that_a_model_makes(chat: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    image = {"type": "image_url", "image_url": {"url": uri("image/png", PNG)}}
    gateway.script(Reply.text("Here.", images=[image]))
    message = (await chat(llm))[-1].message
    blocks = [block for block in message.blocks if isinstance(block, ImageBlock)]
    assert [block.resolve_image().read() for block in blocks] == [PNG]
    assert blocks[0].image_mimetype == "image/png"
    await chat(llm, [message, ChatMessage(role="user", content="Again, bigger.")])
    assert gateway.chat_requests[-1].json["messages"][0]["content"] == [{"type": "text", "text": "Here."}, image]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/made.png", "https://example.com/made.png"),
        ("data:image/svg+xml,%3Csvg/%3E", "data:image/svg+xml,%3Csvg/%3E"),
        ("made.png", None),
        ("data:image/png;base64,x", None),
    ],
)
async def test_an_answer_survives_an_image_that_is_odd(
    chat: Any, llm: KiloCode, gateway: LocalGateway, url: str, shown: str | None
) -> None:
    gateway.script(Reply.text("Here.", images=[{"type": "image_url", "image_url": {"url": url}}]))
    response = (await chat(llm))[-1]
    assert response.message.content == "Here."
    images = [str(block.url) for block in response.message.blocks if isinstance(block, ImageBlock)]
    assert images == ([] if shown is None else [shown])


TEXT_ONLY = "deepseek/deepseek-v3.2"
"""A model of the local gateway's list that takes no images."""
PICTURE = [TextBlock(text="Look."), ImageBlock(image=PNG)]


@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
async def test_images_that_a_model_cannot_take_are_refused_before_they_are_sent(
    chat: Any, make_llm: Any, gateway: LocalGateway, role: str
) -> None:
    llm = make_llm(model=TEXT_ONLY)
    await llm.aload()
    gateway.clear()
    given = {"tool_call_id": "c1"} if role == "tool" else {}
    messages = [
        ChatMessage(role="user", content="Hi."),
        ChatMessage(role=role, blocks=PICTURE, additional_kwargs=given),
    ]
    with pytest.raises(
        ConfigurationError, match=rf"'{TEXT_ONLY}' takes no images .* message 2 of 2 \({role}\)"
    ) as caught:
        await chat(llm, messages)
    assert gateway.requests == []
    assert (await chat(llm, messages, model=caught.value.details["models"][0]))[-1].message.content
    assert (await chat(llm, messages, check_inputs=False))[-1].message.content
    assert (await chat(make_llm(model=TEXT_ONLY, check_inputs=False), messages))[-1].message.content
    with pytest.raises(ConfigurationError, match="takes no images"):
        await chat(make_llm(model=TEXT_ONLY, check_inputs=False), messages, check_inputs=True)


@pytest.mark.parametrize(
    ("block", "words"), [(AudioBlock(audio=WAV), "audio"), (VideoBlock(video=MP4), "video")], ids=["audio", "video"]
)
async def test_audio_and_video_too(chat: Any, make_llm: Any, gateway: LocalGateway, block: Any, words: str) -> None:
    llm = make_llm()
    await llm.aload()
    message = ChatMessage(role="user", blocks=[block])
    with pytest.raises(ConfigurationError, match=f"takes no {words}.*such as 'google/gemini-3.1-pro-preview'"):
        await chat(llm, [message])
    assert gateway.chat_requests == []
    assert (await chat(llm, [message], model="google/gemini-3.1-pro-preview"))[-1].message.content


async def test_documents_and_what_nobody_knows_are_sent(chat: Any, make_llm: Any, gateway: LocalGateway) -> None:
    image = ChatMessage(role="user", blocks=PICTURE)
    assert (await chat(make_llm(model=TEXT_ONLY, check_inputs=False), [image]))[-1].message.content
    assert [request.path for request in gateway.requests] == ["/api/gateway/chat/completions"]
    with pytest.raises(ConfigurationError, match="takes no images"):
        await chat(make_llm(model=TEXT_ONLY), [image])
    pdf = ChatMessage(role="user", blocks=[DocumentBlock(data=PDF)])
    assert (await chat(make_llm(model=TEXT_ONLY), [pdf]))[-1].message.content
    for auto in ("kilo/auto", "kilo-auto/free"):
        assert (await chat(make_llm(model=auto), [image]))[-1].message.content


async def test_an_image_that_a_tool_gave_goes_back_to_the_model(make_llm: Any, gateway: LocalGateway) -> None:
    def camera() -> Any:
        """Take a picture."""
        return PICTURE

    gateway.script(Reply.text("", tool_calls=[{"id": "c1", "name": "camera", "arguments": {}}]), Reply.text("A dot."))
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(camera)], llm=make_llm(), streaming=False)
    assert str(await agent.run("What do you see?")) == "A dot."
    result = gateway.chat_requests[-1].json["messages"][-1]
    assert (result["role"], [part["type"] for part in result["content"]]) == ("tool", ["text", "image_url"])


async def test_citations(chat: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    cited = {"url": "https://example.com/a", "title": "A", "content": "Six hours.", "start_index": 0, "end_index": 9}
    gateway.script(Reply.text("Six hours.", annotations=[{"type": "url_citation", "url_citation": cited}]))
    message = (await chat(llm))[-1].message
    blocks = [block for block in message.blocks if isinstance(block, CitationBlock)]
    assert [(block.source, block.title, block.cited_content.text) for block in blocks] == [
        ("https://example.com/a", "A", "Six hours.")
    ]
    assert blocks[0].additional_location_info == {"start_index": 0, "end_index": 9}
    assert message.content == "Six hours."


def test_spoken_answers_and_log_probs(llm: KiloCode, gateway: LocalGateway) -> None:
    tokens = [
        {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.1}]},
        {"token": ".", "logprob": -0.2, "bytes": None, "top_logprobs": []},
    ]
    audio = {"id": "a1", "data": base64.b64encode(WAV).decode(), "transcript": "Hi."}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "logprobs": {"content": tokens},
        "message": {"role": "assistant", "content": None, "audio": audio},
    }
    reply = Reply.raw(200, {"id": "g", "model": "m", "choices": [choice]}, {"content-type": "application/json"})
    gateway.script(reply)
    response = llm.chat([ChatMessage(role="user", content="Hi.")])
    assert response.message.content == "Hi."
    spoken = next(block for block in response.message.blocks if isinstance(block, AudioBlock))
    assert spoken.resolve_audio().read() == WAV
    assert response.logprobs is not None
    assert [[(one.token, one.logprob) for one in token] for token in response.logprobs] == [
        [("Hi", -0.1)],
        [(".", -0.2)],
    ]


def test_a_refusal_is_shown(llm: KiloCode, gateway: LocalGateway) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "No."}}
    gateway.script(Reply.raw(200, {"id": "g", "model": "m", "choices": [choice]}, {"content-type": "application/json"}))
    response = llm.chat([ChatMessage(role="user", content="Hi.")])
    assert (response.message.content, response.additional_kwargs["refusal"]) == ("No.", "No.")


@pytest.mark.parametrize("given", [dt.date(2026, 1, 2), {1}])
async def test_arguments_of_a_tool_call_are_json(chat: Any, llm: KiloCode, gateway: LocalGateway, given: Any) -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="book", tool_kwargs={"when": given})
    messages = [ChatMessage(role="assistant", blocks=[call]), ChatMessage(role="tool", content="Done.")]
    with pytest.raises(ConfigurationError, match=rf"'book'.*no JSON: .*{type(given).__name__}.*dates as strings"):
        await chat(llm, messages)
    assert gateway.requests == []


@pytest.mark.parametrize(
    "odd", [None, "Hi", 5, [], {"token": 5}, {"logprob": "low"}, {"bytes": "Hi"}, {"top_logprobs": [None, 5]}], ids=repr
)
def test_log_probs_of_another_form_spoil_no_answer(llm: KiloCode, gateway: LocalGateway, odd: Any) -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    choice = {"message": {"content": "Hi."}, "finish_reason": "stop", "logprobs": {"content": [token, odd]}}
    gateway.script(Reply.raw(200, {"choices": [choice]}))
    response = llm.chat([ChatMessage(role="user", content="Hi.")])
    assert response.message.content == "Hi."
    assert response.logprobs is not None
    assert response.logprobs[0][0].token == "Hi"
