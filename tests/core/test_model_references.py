"""Which id goes out for the one that the user wrote: kilo/auto and its kin under their old or new names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import Reply
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, KEY, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

NAMES = {"kilo/auto": "kilo-auto/balanced", "kilo/auto-free": "kilo-auto/free", "kilo/auto-small": "kilo-auto/small"}
PRICE = {"prompt": "0.000001", "completion": "0.000002"}


def _entry(id_: str) -> dict[str, Any]:
    return {"id": id_, "name": id_, "context_length": 1000, "pricing": PRICE, "architecture": {}}


def _sent(gateway: LocalGateway) -> list[str]:
    return [request.json["model"] for request in gateway.chat_requests]


def _discover(gateway: LocalGateway) -> None:
    catalog = Catalog.discover(config=GatewayConfig.resolve(base_url=gateway.base_url, api_key=KEY))
    assert catalog.source == "gateway"


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_nothing_discovered_newest_gateway(gateway: LocalGateway, ask: Ask, name: str) -> None:
    """The old name is tried, then the new one, which is remembered for this address."""
    transport = transport_to(gateway)
    answer = await ask(transport, {**BODY, "model": name})
    assert answer.requested_model == name
    assert _sent(gateway) == [name, NAMES[name]]
    await ask(transport, {**BODY, "model": name})
    await ask(transport_to(gateway, api_key="another-key"), {**BODY, "model": f"kilocode/{name}"})
    assert _sent(gateway) == [name, *[NAMES[name]] * 3]


async def test_nothing_discovered_elder_gateway(make_gateway: Callable[..., LocalGateway], ask: Ask) -> None:
    gateway = make_gateway(dialect="february")
    transport = transport_to(gateway)
    for _ in range(2):
        await ask(transport, {**BODY, "model": "kilo/auto"})
    assert _sent(gateway) == ["kilo/auto"] * 2


async def test_what_is_remembered_of_one_address_is_not_taken_for_another(
    make_gateway: Callable[..., LocalGateway], ask: Ask
) -> None:
    newest, elder = make_gateway(), make_gateway(dialect="february")
    await ask(transport_to(newest), {**BODY, "model": "kilo/auto"})
    await ask(transport_to(elder), {**BODY, "model": "kilo/auto"})
    assert _sent(elder) == ["kilo/auto"]


async def test_the_discovered_list_holds_only_the_new_name(gateway: LocalGateway, ask: Ask, name: str) -> None:
    _discover(gateway)
    answer = await ask(transport_to(gateway), {**BODY, "model": name})
    assert _sent(gateway) == [NAMES[name]]
    assert answer.requested_model == name


async def test_the_discovered_list_holds_the_old_name(make_gateway: Callable[..., LocalGateway], ask: Ask) -> None:
    gateway = make_gateway(models=[_entry("kilo/auto"), _entry("kilo-auto/balanced")])
    _discover(gateway)
    await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})
    assert _sent(gateway) == ["kilo/auto"]


async def test_the_discovered_list_holds_neither(make_gateway: Callable[..., LocalGateway], ask: Ask) -> None:
    gateway = make_gateway(models=[_entry("a/b")])
    _discover(gateway)
    gateway.script(Reply.error("model_not_found"), Reply.text("ok"))
    assert (await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})).text == "ok"
    assert _sent(gateway) == ["kilo/auto", "kilo-auto/balanced"]


@pytest.mark.parametrize("error", ["model_not_found", "model_not_found_feb", "unknown_model_400", "unavailable_model"])
async def test_each_way_to_say_that_a_model_is_unknown(gateway: LocalGateway, ask: Ask, error: str) -> None:
    gateway.script(Reply.error(error), Reply.text("ok"))
    assert (await ask(transport_to(gateway, errors=OPENAI_ERRORS), {**BODY, "model": "kilo/auto"})).text == "ok"


NOT_UNKNOWN = [
    "model_not_allowed",
    "model_not_allowed_feb",
    "alpha_ended",
    "no_endpoints_404",
    "provider_not_allowed",
    "invalid_token",
    "credit_402_never_paid",
    "rate_limit_free",
    "empty_405",
    "invalid_request",
    "html_502",
    "error_in_200",
    "redirect_307",
]


@pytest.mark.parametrize("error", NOT_UNKNOWN)
async def test_no_other_refusal_changes_the_name(gateway: LocalGateway, ask: Ask, error: str) -> None:
    gateway.script(Reply.error(error))
    with pytest.raises(core.KiloCodeError) as caught:
        await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})
    assert _sent(gateway) == ["kilo/auto"]
    assert caught.value.model == "kilo/auto"


async def test_when_both_names_are_unknown_the_error_is_the_second(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("model_not_found"), Reply.error("model_not_found"), Reply.text("ok"))
    with pytest.raises(core.ModelNotFoundError) as caught:
        await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})
    assert caught.value.model == "kilo-auto/balanced"
    # Nothing was learnt: the next request begins with the old name again.
    assert (await ask(transport_to(gateway), {**BODY, "model": "kilo/auto"})).text == "ok"
    assert _sent(gateway) == ["kilo/auto", "kilo-auto/balanced", "kilo/auto"]


async def test_each_name_has_its_own_attempts(gateway: LocalGateway, ask: Ask) -> None:
    busy = Reply.raw(503, {"error": "busy"}, {"retry-after-ms": "1"})
    gateway.script(busy, busy, Reply.error("model_not_found"), busy, busy, Reply.text("ok"))
    assert (await ask(transport_to(gateway, max_retries=2), {**BODY, "model": "kilo/auto"})).text == "ok"
    assert _sent(gateway) == ["kilo/auto"] * 3 + ["kilo-auto/balanced"] * 3


@pytest.mark.parametrize(
    "model", ["kilo/auto-frontier", "kilo-auto/balanced", "kilo-auto/nothing", "no/such-model", "gpt-4o", "kilo/autox"]
)
async def test_no_other_id_is_ever_rewritten(gateway: LocalGateway, ask: Ask, model: str) -> None:
    gateway.script(Reply.error("model_not_found"))
    with pytest.raises(core.ModelNotFoundError):
        await ask(transport_to(gateway), {**BODY, "model": model})
    assert _sent(gateway) == [model]


async def test_embeddings_take_references_too(gateway: LocalGateway) -> None:
    body = {"model": "kilocode/openai/text-embedding-3-small", "input": ["x"]}
    transport = transport_to(gateway)
    for answer in (transport.request("POST", "embeddings", body), await transport.arequest("POST", "embeddings", body)):
        assert answer["model"] == "openai/text-embedding-3-small"
    assert all(request.json == {**body, "model": "openai/text-embedding-3-small"} for request in gateway.requests)


@pytest.mark.parametrize("model", [None, "", "   ", 5, "kilocode/"])
async def test_a_reference_that_is_none_is_refused_before_anything_is_sent(
    gateway: LocalGateway, ask: Ask, model: Any
) -> None:
    with pytest.raises(core.ConfigurationError, match="must be named"):
        await ask(transport_to(gateway), {**BODY, "model": model})
    with pytest.raises(core.ConfigurationError, match="must be named"):
        await ask(transport_to(gateway), {"messages": BODY["messages"]})
    assert gateway.requests == []


# Without a key


class Recorder:
    """Answers instead of the world, and counts."""

    def __init__(self, library: Any) -> None:
        self.requests: list[Any] = []
        transport = library.MockTransport(self._answer)
        self.sync = library.Client(transport=transport)
        self.asynchronous = library.AsyncClient(transport=library.MockTransport(self._answer))
        self._library = library

    def _answer(self, request: Any) -> Any:
        self.requests.append(request)
        chunk = {"id": "g", "choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}
        message = {"id": "g", "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}
        text = f"data: {json.dumps(chunk)}\n\n" if b'"stream":true' in request.content else json.dumps(message)
        return self._library.Response(200, text=text)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    return Recorder(request.param)


def _public(recorder: Recorder, **settings: Any) -> Transport:
    headers = settings.pop("headers", None)
    config = GatewayConfig.resolve(**settings)
    return Transport(config, http_client=recorder.sync, http_async_client=recorder.asynchronous, headers=headers)


async def test_a_paid_model_without_a_key_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, ask: Ask
) -> None:
    _know_prices(monkeypatch)
    with pytest.raises(
        core.AuthenticationError, match="costs money and no API key is set, so nothing was sent"
    ) as caught:
        await ask(_public(recorder), {**BODY, "model": "a/paid"})
    assert "an id that ends in ':free'" in str(caught.value)
    assert "`python -m kilocode_gateway serve`" in str(caught.value)
    assert recorder.requests == []
    assert (await ask(_public(recorder), {**BODY, "model": "a/free:free"})).text == "ok"
    assert (await ask(_public(recorder), {**BODY, "model": "a/unknown"})).text == "ok"
    assert (await ask(_public(recorder, api_key=KEY), {**BODY, "model": "a/paid"})).text == "ok"
    mine = _public(recorder, headers={"authorization": "Bearer mine"})
    assert (await ask(mine, {**BODY, "model": "a/paid"})).text == "ok"
    elsewhere = _public(recorder, base_url="https://gateway.example/api/gateway")
    assert (await ask(elsewhere, {**BODY, "model": "a/paid"})).text == "ok"
    sent = [(str(request.url), request.headers.get("authorization")) for request in recorder.requests]
    public = "https://api.kilo.ai/api/gateway/chat/completions"
    assert sent == [
        (public, None),
        (public, None),
        (public, f"Bearer {KEY}"),
        (public, "Bearer mine"),
        ("https://gateway.example/api/gateway/chat/completions", None),
    ]


def _know_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalog at hand know one model that costs and one that does not."""
    from kilocode_gateway.models import ModelInfo

    free = {**_entry("a/free:free"), "pricing": {"prompt": "0", "completion": "0"}, "isFree": True}
    known = {entry["id"]: ModelInfo.from_entry(entry) for entry in (_entry("a/paid"), free)}

    class AtHand:
        def get(self, id_: str) -> ModelInfo | None:
            return known.get(id_)

        def is_discovered(self, id_: str) -> bool:
            return id_ in known

        def nearest(self, id_: str) -> list[str]:
            return []

    monkeypatch.setattr(Catalog, "at_hand", classmethod(lambda cls, config: AtHand()))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_named_and_never_followed(
    gateway: LocalGateway, make_gateway: Callable[..., LocalGateway], ask: Ask, status: int
) -> None:
    other = make_gateway()
    gateway.script(Reply.raw(status, "", {"location": f"{other.base_url}chat/completions?x=secret"}))
    with pytest.raises(core.RedirectRefusedError, match="not followed") as caught:
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert f"{other.base_url}chat/completions (HTTP {status})" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert (len(gateway.requests), other.connections) == (1, 0)


async def test_a_clients_own_wish_to_follow_redirects_is_not_heeded(
    gateway: LocalGateway, make_gateway: Callable[..., LocalGateway]
) -> None:
    other = make_gateway()
    gateway.script(Reply.raw(307, "", {"location": f"{other.base_url}chat/completions"}))
    with httpx2.Client(follow_redirects=True, trust_env=False) as client, pytest.raises(core.RedirectRefusedError):
        transport_to(gateway, http_client=client).complete(BODY)
    assert other.connections == 0


OPENAI_VARIABLES = [
    "API_KEY",
    "ADMIN_KEY",
    "BASE_URL",
    "API_BASE",
    "ORGANIZATION",
    "ORG_ID",
    "PROJECT",
    "PROJECT_ID",
    "PROXY",
    "CUSTOM_HEADERS",
    "API_TYPE",
    "API_VERSION",
    "WEBHOOK_SECRET",
    "LOG",
]


async def test_no_variable_of_openai_reaches_the_wire(
    monkeypatch: pytest.MonkeyPatch,
    gateway: LocalGateway,
    make_gateway: Callable[..., LocalGateway],
    ask: Ask,
) -> None:
    other = make_gateway()
    for variable in OPENAI_VARIABLES:
        url = variable in ("BASE_URL", "API_BASE", "PROXY")
        canary = f"{other.base_url}canary" if url else "X-Canary: canary" if variable == "CUSTOM_HEADERS" else "canary"
        monkeypatch.setenv(f"OPENAI_{variable}", canary)
    transport = transport_to(gateway, errors=OPENAI_ERRORS)
    await ask(transport, BODY)
    transport.request("GET", "/api/profile")
    transport.request("POST", "embeddings", {"model": "openai/text-embedding-3-small", "input": "x"})
    _discover(gateway)
    assert len(gateway.requests) == 4
    for request in gateway.requests:
        assert (
            "canary"
            not in f"{request.path}{request.query}{request.header_pairs}{request.body!r}".replace(KEY, "").lower()
        )
    assert other.connections == 0


async def test_cookies_of_one_answer_are_not_sent_with_the_next(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.text("ok", headers={"set-cookie": "session=1; Path=/"}), Reply.text("ok"))
    transport = transport_to(gateway)
    await ask(transport, BODY)
    await ask(transport, BODY)
    assert "cookie" not in gateway.last_request.headers
