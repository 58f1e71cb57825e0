"""No key, no header and no other provider's key shows in LangChain: objects, dumps, traces, callbacks, logs, errors."""

from __future__ import annotations

import copy
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from kilocode_gateway import ConfigurationError, track_usage
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM
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

__all__ = ["elsewhere"]

CLASSES = [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def made(request: pytest.FixtureRequest, gateway: LocalGateway) -> Any:
    """Give an object of each class that has used its secrets."""
    one = request.param(api_key=KEY, default_headers=HEADERS, base_url=gateway.base_url, max_retries=0, timeout=20.0)
    use(one)
    assert gateway.last_request.authorization == f"Bearer {KEY}"
    assert gateway.last_request.headers["x-canary-token"] == HEADER
    return one


def use(one: Any) -> None:
    one.embed_query("Hello") if isinstance(one, KiloCodeEmbeddings) else one.invoke("Hello")


async def ause(one: Any) -> None:
    await one.aembed_query("Hello") if isinstance(one, KiloCodeEmbeddings) else await one.ainvoke("Hello")


def stream(one: Any) -> None:
    one.embed_documents(["Hello"]) if isinstance(one, KiloCodeEmbeddings) else list(one.stream("Hello"))


async def astream(one: Any) -> None:
    if isinstance(one, KiloCodeEmbeddings):
        await one.aembed_documents(["Hello"])
    else:
        assert [piece async for piece in one.astream("Hello")]


async def _whole(one: Any) -> None:
    use(one)


async def _pieces(one: Any) -> None:
    stream(one)


WAYS = {"whole": _whole, "streamed": _pieces, "async": ause, "async streamed": astream}


def _assigned(one: Any) -> object:
    one.api_key, one.default_headers = KEY, HEADERS
    return [vars(one), one]


def _called(one: Any, name: str) -> object:
    value = getattr(one, name, "")
    return value() if callable(value) else value


SHOWN: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda one: f"{one} {one!r:>5}",
    "vars": vars,
    "private": lambda one: vars(one).get("__pydantic_private__") or one.__pydantic_private__,
    "after assignment": _assigned,
    "copies": lambda one: [one.model_copy(), copy.copy(one), copy.deepcopy(one), vars(copy.deepcopy(one))],
    "copy with others": lambda one: vars(one.model_copy(update={"api_key": KEY, "default_headers": HEADERS})),
    "config": lambda one: one.gateway_config,
    "transport": lambda one: vars(one._transport()),
    "model_dump": lambda one: one.model_dump(),
    "model_dump_json": lambda one: one.model_dump_json(),
    "dumps": dumps,
    "dumpd": dumpd,
    "rich": lambda one: list(one.__rich_repr__()),
    **{
        name: (lambda one, name=name: _called(one, name))
        for name in (
            "to_json",
            "lc_attributes",
            "lc_secrets",
            "asdict",
            "dict",
            "_serialized",
            "_get_ls_params",
            "get_name",
        )
    },
    "_get_invocation_params": lambda one: _called(one, "_get_invocation_params"),
    "_identifying_params": lambda one: _called(one, "_identifying_params"),
    "_get_llm_string": lambda one: _called(one, "_get_llm_string"),
    "bound": lambda one: one.bind(stop=["x"]) if hasattr(one, "bind") else "",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
@pytest.mark.parametrize("place", SHOWN)
def test_objects_show_nothing(made: Any, place: str) -> None:
    assert found(SHOWN[place](made)) == []


WRONG: dict[str, dict[str, Any]] = {
    "unknown name": {"nonsense": 1},
    "misnamed key": {"openai_api_key": KEY},
    "misnamed headers": {"headers": HEADERS},
    "foreign headers": {"extra_headers": HEADERS},
    "retries": {"max_retries": -1},
    "retries of a wrong type": {"max_retries": "often"},
    "time limit": {"timeout": "soon"},
    "address": {"base_url": "http://host.example/"},
    "organization": {"organization_id": "é"},
    "key with a line break": {"api_key": f"{KEY}\n"},
    "key as a list": {"api_key": [KEY]},
    "headers as pairs": {"default_headers": [("X", HEADER)]},
    "headers as bytes": {"default_headers": {"X": HEADER.encode()}},
    "header with a line break": {"default_headers": {"X": f"{HEADER}\n"}},
    "name of a header": {"default_headers": {"X Y": HEADER}},
    "wrong client": {"http_client": 5, "max_retries": -1},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("cls", CLASSES)
def test_wrong_settings_beside_secrets_show_nothing(cls: Any, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cls(**{"api_key": KEY, "default_headers": HEADERS, **WRONG[what]})
    assert leaks(caught.value) == {}


@pytest.mark.parametrize("what", [name for name in WRONG if "misnamed" not in name and "foreign" not in name])
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
    [{"base_url": "http://127.0.0.1:1"}, {"api_key": lambda: f"{KEY}\n"}, {"api_key": _vault}, {"total_timeout": 1e-9}],
    ids=["refused connection", "key function gives none", "key function fails", "no time"],
)
async def test_errors_of_our_own_side_show_nothing(made: Any, change: dict[str, Any], way: str) -> None:
    if not set(change) <= set(type(made).model_fields):
        pytest.skip(f"{type(made).__name__} has no such setting")
    with errors_show_nothing():
        await WAYS[way](made.model_copy(update=change))


class Listener(BaseCallbackHandler):
    """Keeps all that a callback is told."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") and name != "on_chat_model_start":
            return lambda *told, **more: self.heard.append((name, told, more))
        return super().__getattribute__(name)

    def on_chat_model_start(self, *told: Any, **more: Any) -> None:
        self.heard.append(("on_chat_model_start", told, more))


@pytest.fixture
def posted() -> Iterator[tuple[LangChainTracer, list[bytes]]]:
    """Give LangSmith's tracer, and the bytes that it posts to a server of our own."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])) + str(self.headers).encode())
            self.send_response(202)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PATCH = _take  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = Client(api_url=url, api_key="none", auto_batch_tracing=False, info={})
    client.session.trust_env = False  # the proxies of `elsewhere` are for others to heed
    yield LangChainTracer(client=client), bodies
    client.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("fault", [None, "a refusal that repeats both", "an error event", "silence"])
async def test_traces_callbacks_logs_and_counts_show_nothing(
    gateway: LocalGateway, elsewhere: LocalGateway, posted: tuple[LangChainTracer, list[bytes]], fault: str | None
) -> None:
    tracer, bodies = posted
    listener = Listener()
    common: dict[str, Any] = {"api_key": KEY, "default_headers": HEADERS, "base_url": gateway.base_url}
    common |= {
        "max_retries": 0,
        "timeout": 0.5 if fault == "silence" else 20.0,
        "callbacks": [tracer, listener],
        "verbose": False,
    }
    if fault is not None:
        gateway.script(*[FAULTS[fault]()] * 99)
    with everything_said() as said, track_usage() as used:
        for cls in (ChatKiloCode, KiloCodeFIM):
            one = cls(**common)
            for way in WAYS.values():
                with errors_show_nothing():
                    await way(one)
    assert len(bodies) >= 8
    assert len(listener.heard) >= 8
    assert [line for line in said if found(line)] == []
    assert [body[:200] for body in bodies if found(body)] == []
    assert [heard for heard in listener.heard if found(heard)] == []
    assert found([used, used.total]) == []
    assert found(gateway.requests) == []
    assert elsewhere.connections == 0
    assert all(FOREIGN not in repr(request.header_pairs) for request in gateway.requests)
