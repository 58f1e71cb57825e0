"""What a model certainly cannot take is refused before it is sent, and what it may take never is."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.errors import ConfigurationError, ModelNotFoundError
from kilocode_gateway.inputs import first_not_taken
from kilocode_gateway.local import Reply
from kilocode_gateway.models import ModelInfo
from kilocode_gateway.wire.parts import Part, parts_in
from tests.core.catalogs import discover, fetches, warnings_in
from tests.core.helpers import transport_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

TEXT = {"type": "text", "text": "Look."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
VIDEO = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://example.com/a.pdf"}}
HIDDEN_PDF = {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0="}}
NATIVE = [{"id": "web"}, {"id": "file-parser", "pdf": {"engine": "native"}}]
KINDS = {"image": (IMAGE, "images"), "audio": (AUDIO, "audio"), "video": (VIDEO, "video")}


def entry(id_: str, inputs: Any, **more: Any) -> dict[str, Any]:
    price = {"prompt": "0.000001", "completion": "0.000002"}
    architecture = {} if inputs is None else {"architecture": {"input_modalities": inputs}}
    return {"id": id_, "name": id_, "pricing": price, **architecture, **more}


MODELS = [
    entry("acme/text", ["text"]),
    entry("acme/free:free", ["text"], pricing={"prompt": "0", "completion": "0"}),
    entry("acme/untold", None),
    entry("acme/empty", []),
    entry("acme/odd", None, architecture={"modality": None}),
    entry("acme/short-form", None, architecture={"modality": "text->text"}),
    entry("acme/eyes", ["text", "image"]),
    entry("beta/all", ["TEXT", "Image", "audio", "video", "file"], preferredIndex=1),
    entry("beta/all:free", ["text", "image", "audio", "video"], isFree=True),
    entry("beta/favourite", ["text", "image", "audio"], preferredIndex=0),
    entry("beta/painter", ["text", "image"], architecture={"modality": "text+image->image"}),
    entry("beta/files", ["text", "pdf"]),
    entry("kilo-auto/free", ["text"]),
    entry("kilo-auto/our-team", ["text"]),
    entry("openrouter/free", ["text"]),
    entry("~acme/text-latest", ["text"]),
    entry("acme/router", ["text"], autoRouting={"models": ["acme/eyes"]}),
]


@pytest.fixture
def known(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    """Give a gateway whose models are at hand."""
    gateway = make_gateway(models=MODELS)
    discover(gateway)
    gateway.clear()
    return gateway


def body(model: str, *parts: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [TEXT]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": role, "content": [TEXT, *parts], **({"tool_call_id": "c1"} if role == "tool" else {})},
    ]
    return {"model": model, "messages": messages, **more}


@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_model_cannot_take_is_refused_in_every_role(
    ask: Ask, known: LocalGateway, kind: str, role: str
) -> None:
    part, words = KINDS[kind]
    with pytest.raises(ConfigurationError) as caught:
        await ask(transport_to(known), body("kilocode/acme/text", part, role=role))
    error = caught.value
    assert str(error).startswith(
        f"The model 'acme/text' takes no {words} (the gateway's list says: text), and message "
    )
    assert f"message 4 of 4 ({role}) holds" in str(error)
    assert "check_inputs=False" in str(error)
    assert (error.model, error.details["kind"], error.details["message_index"]) == ("acme/text", kind, 3)
    assert all(repr(model) in str(error) for model in error.details["models"])
    assert pickle.loads(pickle.dumps(error)).details == error.details
    assert known.requests == []


@pytest.mark.parametrize(
    ("model", "parts", "suggested"),
    [
        ("acme/text", [IMAGE], ["acme/eyes", "beta/favourite", "beta/all"]),
        ("acme/text", [IMAGE, AUDIO], ["beta/favourite", "beta/all", "beta/all:free"]),
        ("acme/free:free", [IMAGE], ["beta/all:free", "acme/eyes", "beta/favourite"]),
        ("acme/eyes", [IMAGE, VIDEO], ["beta/all", "beta/all:free"]),
    ],
)
def test_models_that_take_all_of_it_are_named(
    known: LocalGateway, model: str, parts: list[Any], suggested: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        transport_to(known).complete(body(model, *parts))
    assert caught.value.details["models"] == suggested


def test_where_no_model_takes_it_none_is_named(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(models=MODELS[:1])
    discover(gateway)
    with pytest.raises(ConfigurationError, match="Take it out, or choose another model") as caught:
        transport_to(gateway).complete(body("acme/text", IMAGE))
    assert caught.value.details["models"] == []


@pytest.mark.parametrize(
    "model",
    [
        *("acme/untold", "acme/empty", "acme/odd", "acme/eyes", "beta/all", "acme/router", "openrouter/free"),
        *("kilo/auto", "kilo-auto/free", "kilo-auto/our-team", "~acme/text-latest", "acme/not-listed", "ACME/text"),
    ],
)
def test_what_may_be_taken_is_sent(known: LocalGateway, model: str) -> None:
    info = Catalog.discover(base_url=known.base_url).get(model)
    parts = list(parts_in(body(model, IMAGE)["messages"]))
    assert info is None or first_not_taken(parts, info) is None
    if model in [one["id"] for one in MODELS]:
        assert transport_to(known).complete(body(model, IMAGE)).text
    assert fetches(known) == 0


@pytest.mark.parametrize("model", ["acme/text", "acme/short-form", "acme/eyes"])
@pytest.mark.parametrize("part", [PDF, HIDDEN_PDF])
async def test_files_are_sent_to_every_model_because_the_router_reads_them(
    ask: Ask, known: LocalGateway, part: Any, model: str
) -> None:
    for plugins in (None, [{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}], [{"id": "web"}], ["odd"]):
        await ask(transport_to(known), body(model, part, plugins=plugins))


def test_files_are_refused_where_the_request_forbids_to_read_them(known: LocalGateway) -> None:
    with pytest.raises(
        ConfigurationError, match=r"takes no files as they are.*leave the engine 'native' out"
    ) as caught:
        transport_to(known).complete(body("acme/text", PDF, plugins=NATIVE))
    assert caught.value.details["models"] == ["beta/all", "beta/files"]
    for model in ("beta/all", "beta/files"):
        transport_to(known).complete(body(model, PDF, plugins=NATIVE))


@pytest.mark.parametrize("switch", [False, True, None])
async def test_the_check_can_be_turned_off(ask: Ask, known: LocalGateway, switch: bool | None) -> None:
    request = body("acme/text", IMAGE, check_inputs=switch)
    if switch is False:
        await ask(transport_to(known), request)
        assert "check_inputs" not in known.last_request.json
        assert known.last_request.json["messages"][3]["content"] == [TEXT, IMAGE]
    else:
        with pytest.raises(ConfigurationError, match="takes no images"):
            await ask(transport_to(known), request)


@pytest.mark.parametrize("wrong", ["no", 0, 1, [False]])
async def test_a_switch_that_is_none_is_said(ask: Ask, known: LocalGateway, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="check_inputs must be True or False, got"):
        await ask(transport_to(known), body("acme/text", check_inputs=wrong))


@pytest.mark.parametrize("others", [["acme/eyes"], ["acme/not-listed"], ["acme/free:free", "kilo/auto"]])
def test_a_fallback_model_that_may_take_it_is_enough(known: LocalGateway, others: list[str]) -> None:
    assert transport_to(known).complete(body("acme/text", IMAGE, fallback_models=others)).text


def test_fallback_models_that_take_none_either_are_told(known: LocalGateway) -> None:
    with pytest.raises(ConfigurationError, match=r"'acme/text' takes no images.*Nor do its fallback models"):
        transport_to(known).complete(body("acme/text", IMAGE, fallback_models=["acme/short-form"]))


def test_plugins_in_extra_body_count_as_they_are_sent(known: LocalGateway) -> None:
    assert transport_to(known).complete(body("acme/text", PDF, plugins=NATIVE, extra_body={"plugins": []})).text
    with pytest.raises(ConfigurationError, match="takes no files as they are"):
        transport_to(known).complete(body("acme/text", PDF, extra_body={"plugins": NATIVE}))


async def test_a_fresh_process_looks_once_for_what_the_model_takes(
    ask: Ask, make_gateway: Callable[..., LocalGateway]
) -> None:
    gateway = make_gateway(models=MODELS)
    for model in ("acme/text", "kilocode/acme/text"):
        with pytest.raises(ConfigurationError, match="takes no images"):
            await ask(transport_to(gateway), body(model, IMAGE))
    with pytest.raises(ModelNotFoundError):
        await ask(transport_to(gateway), body("acme/nobody-knows", IMAGE))
    assert [request.path.rpartition("/")[2] for request in gateway.requests] == ["models", "completions"]


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "acme/text", "parts": []},
        {"model": "acme/text", "parts": [IMAGE], "check_inputs": False},
        {"model": "acme/text", "parts": [PDF]},
        {"model": "kilo-auto/free", "parts": [IMAGE]},
    ],
    ids=["text", "unchecked", "a file", "an auto model"],
)
async def test_nothing_is_fetched_that_no_check_needs(
    ask: Ask, make_gateway: Callable[..., LocalGateway], asked: dict[str, Any]
) -> None:
    gateway = make_gateway(models=MODELS)
    given = dict(asked)
    await ask(transport_to(gateway), body(given.pop("model"), *given.pop("parts"), **given))
    assert fetches(gateway) == 0


async def test_where_the_list_cannot_be_had_the_request_is_sent_as_it_is(
    ask: Ask, make_gateway: Callable[..., LocalGateway], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = make_gateway(models=MODELS)
    gateway.script(Reply.raw(500, b""), path="models")
    for _ in range(2):
        await ask(transport_to(gateway), body("acme/text", IMAGE))
    assert (fetches(gateway), len(gateway.chat_requests)) == (1, 2)
    assert len(warnings_in(caplog)) == 1


@pytest.mark.parametrize("limit", ["total_timeout", "first_token_timeout"])
async def test_looking_takes_no_longer_than_the_call_may(
    ask: Ask, make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    given: list[float] = []
    whole, awhole = Catalog.discover, Catalog.adiscover

    def discovered(**how: Any) -> Any:
        given.append(how["timeout"])
        return whole(**how)

    async def adiscovered(**how: Any) -> Any:
        given.append(how["timeout"])
        return await awhole(**how)

    monkeypatch.setattr(Catalog, "discover", discovered)
    monkeypatch.setattr(Catalog, "adiscover", adiscovered)
    with pytest.raises(ConfigurationError, match="takes no images"):
        await ask(transport_to(make_gateway(models=MODELS)), body("acme/text", IMAGE, **{limit: 2.5}))
    assert given == [2.5]


def test_odd_messages_are_no_parts() -> None:
    messages = [
        None,
        "text",
        {"content": [None, "text", {"type": ["image_url"]}, {}]},
        {"content": {"type": "image_url"}},
    ]
    assert list(parts_in(messages)) == []
    assert list(
        parts_in([{"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]}])
    ) == [Part("image", 0, "user")]


def test_a_model_made_by_hand_tells_what_it_was_given() -> None:
    assert not ModelInfo("acme/one", "One").tells_inputs
    assert ModelInfo("acme/one", "One", input_modalities=("text", "image")).tells_inputs
