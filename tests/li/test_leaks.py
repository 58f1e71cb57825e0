"""No key, no header and no other provider's key shows in LlamaIndex: objects, dicts, events, spans, callbacks, logs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

from kilocode_gateway import track_usage
from kilocode_gateway.errors import ConfigurationError, KiloCodeError
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM
from tests.canaries import (
    FAULTS,
    FOREIGN,
    HEADER,
    HEADERS,
    KEY,
    elsewhere,
    errors_show_nothing,
    everything_said,
    found,
    leaks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from tests.li.conftest import Recorder

__all__ = ["elsewhere"]

CLASSES = [KiloCode, KiloCodeEmbedding, KiloCodeFIM]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def made(request: pytest.FixtureRequest, gateway: LocalGateway) -> Any:
    """Give an object of each class that has used its secrets."""
    one = request.param(api_key=KEY, default_headers=HEADERS, api_base=gateway.base_url, max_retries=0, timeout=20.0)
    use(one)
    assert gateway.last_request.authorization == f"Bearer {KEY}"
    assert gateway.last_request.headers["x-canary-token"] == HEADER
    return one


def use(one: Any) -> None:
    one.get_query_embedding("Hello") if isinstance(one, KiloCodeEmbedding) else one.complete("Hello")


async def _whole(one: Any) -> None:
    use(one)


async def _awaited(one: Any) -> None:
    await (one.aget_query_embedding("Hello") if isinstance(one, KiloCodeEmbedding) else one.acomplete("Hello"))


async def _streamed(one: Any) -> None:
    batch = isinstance(one, KiloCodeEmbedding)
    one.get_text_embedding_batch(["a", "b"]) if batch else list(one.stream_complete("Hello"))


async def _astreamed(one: Any) -> None:
    if isinstance(one, KiloCodeEmbedding):
        await one.aget_text_embedding_batch(["a", "b"])
    else:
        assert [piece async for piece in await one.astream_complete("Hello")]


WAYS = {"whole": _whole, "async": _awaited, "streamed": _streamed, "async streamed": _astreamed}


def _assigned(one: Any) -> object:
    one.api_key, one.default_headers = KEY, HEADERS
    return [vars(one), one]


SHOWN: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda one: f"{one} {one!r:>5}",
    "vars": vars,
    "private": lambda one: one.__pydantic_private__,
    "link": lambda one: [one._link, one._link.config(one), vars(one._link.transport(one))],
    "after assignment": _assigned,
    "copies": lambda one: [one.model_copy(), copy.copy(one), copy.deepcopy(one), vars(copy.deepcopy(one))],
    "copy with others": lambda one: vars(one.model_copy(update={"api_key": KEY, "default_headers": HEADERS})),
    "model_dump": lambda one: one.model_dump(),
    "model_dump_json": lambda one: one.model_dump_json(),
    "to_dict": lambda one: one.to_dict(),
    "to_json": lambda one: one.to_json(),
    "to_payload": lambda one: one.to_payload() if hasattr(one, "to_payload") else "",
    "metadata": lambda one: one.metadata if hasattr(one, "metadata") else "",
    "rich": lambda one: list(one.__rich_repr__()),
}


@pytest.mark.parametrize("place", SHOWN)
def test_objects_show_nothing(made: Any, place: str) -> None:
    assert found(SHOWN[place](made)) == []


def test_headers_in_additional_kwargs_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="default_headers") as caught:
        KiloCode(additional_kwargs={"extra_headers": HEADERS})
    assert found([str(caught.value), repr(caught.value), vars(caught.value)]) == []


WRONG: dict[str, dict[str, Any]] = {
    "unknown name": {"nonsense": 1},
    "misnamed key": {"openai_api_key": KEY},
    "misnamed headers": {"headers": HEADERS},
    "foreign headers": {"extra_headers": HEADERS},
    "retries": {"max_retries": -1},
    "retries of a wrong type": {"max_retries": "often"},
    "time limit": {"timeout": "soon"},
    "address": {"api_base": "http://host.example/"},
    "organization": {"organization_id": "é"},
    "key with a line break": {"api_key": f"{KEY}\n"},
    "key as a list": {"api_key": [KEY]},
    "headers as pairs": {"default_headers": [("X", HEADER)]},
    "headers as bytes": {"default_headers": {"X": HEADER.encode()}},
    "header with a line break": {"default_headers": {"X": f"{HEADER}\n"}},
    "name of a header": {"default_headers": {"X Y": HEADER}},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("cls", CLASSES)
def test_wrong_settings_beside_secrets_show_nothing(cls: Any, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cls(**{"api_key": KEY, "default_headers": HEADERS, **WRONG[what]})
    assert leaks(caught.value) == {}


@pytest.mark.parametrize(
    "what", ["address", "key with a line break", "key as a list", "headers as pairs", "name of a header"]
)
@pytest.mark.parametrize("cls", CLASSES)
def test_wrong_changes_of_copies_show_nothing(cls: Any, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        use(cls().model_copy(update={"api_key": KEY, "default_headers": HEADERS, **WRONG[what]}))
    assert leaks(caught.value) == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_errors_show_nothing(made: Any, gateway: LocalGateway, fault: str, way: str) -> None:
    gateway.script(FAULTS[fault]())
    if fault == "silence":
        made = made.model_copy(update={"timeout": 0.2})
    with errors_show_nothing():
        await WAYS[way](made)


def _vault() -> str:
    raise OSError("the vault is closed")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "change",
    [{"api_base": "http://127.0.0.1:1"}, {"api_key": lambda: f"{KEY}\n"}, {"api_key": _vault}, {"total_timeout": 1e-9}],
    ids=["refused connection", "key function gives none", "key function fails", "no time"],
)
async def test_errors_of_our_own_side_show_nothing(made: Any, change: dict[str, Any], way: str) -> None:
    if not set(change) <= set(type(made).model_fields):
        pytest.skip(f"{type(made).__name__} has no such setting")
    with errors_show_nothing():
        await WAYS[way](made.model_copy(update=change))


async def test_headers_of_a_call_are_not_repeated_by_its_error(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    """What a call is given stands in the framework's frames before it comes to us; the error itself repeats nothing."""
    gateway.script(FAULTS["a refusal that repeats both"]())
    with pytest.raises(KiloCodeError) as caught:
        await ask(make_llm(api_key=KEY, timeout=20.0, max_retries=0), extra_headers=HEADERS)
    assert found([str(caught.value), repr(caught.value), vars(caught.value)]) == []


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    root = get_dispatcher()
    handler = SimpleSpanHandler()
    before = list(root.span_handlers)
    root.add_span_handler(handler)
    yield handler
    root.span_handlers = before


@pytest.mark.parametrize("fault", [None, "a refusal that repeats both", "an error event", "silence"])
async def test_events_spans_callbacks_and_logs_show_nothing(
    gateway: LocalGateway, elsewhere: LocalGateway, recorder: Recorder, spans: SimpleSpanHandler, fault: str | None
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    common: dict[str, Any] = {"api_key": KEY, "default_headers": HEADERS, "api_base": gateway.base_url}
    common |= {
        "max_retries": 0,
        "timeout": 0.5 if fault == "silence" else 20.0,
        "callback_manager": CallbackManager([debug]),
    }
    if fault is not None:
        gateway.script(*[FAULTS[fault]()] * 99)
    with everything_said() as said, track_usage() as used:
        for cls in CLASSES:
            one = cls(**common)
            for way in WAYS.values():
                with errors_show_nothing():
                    await way(one)
    payloads = [event.payload for pair in debug.get_event_pairs() for event in pair]
    assert payloads or fault
    assert recorder.seen
    assert spans.completed_spans or spans.dropped_spans
    assert [line for line in said if found(line)] == []
    assert [event for event in recorder.seen if found(event) or found(event.model_dump())] == []
    told = [*spans.completed_spans, *spans.dropped_spans, *spans.open_spans.values()]
    assert [span for span in told if found(span) or found(span.model_dump())] == []
    assert [payload for payload in payloads if found(payload)] == []
    assert found([used, used.total]) == []
    assert found(gateway.requests) == []
    assert elsewhere.connections == 0
    assert all(FOREIGN not in repr(request.header_pairs) for request in gateway.requests)
