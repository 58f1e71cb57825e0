"""Gaps in code: what the local gateway answers on its wire, and what the transport makes of it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import errors as core
from kilocode_gateway import track_usage
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import Reply
from kilocode_gateway.local.fim import MODELS, fill
from kilocode_gateway.transport import FIM, Transport
from kilocode_gateway.wire.fim import MOST_TOKENS, USUAL_TOKENS, fim_body
from tests.core.helpers import transport_to
from tests.core.local_client import request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilocode_gateway.local import LocalGateway
    from kilocode_gateway.wire import Completion
    from tests.core.local_client import Got

    Ask = Callable[[Transport, dict[str, Any]], Awaitable[Completion]]

CODESTRAL, MERCURY = MODELS
BEFORE, AFTER = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
BODY: dict[str, Any] = {"model": CODESTRAL, "prompt": BEFORE, "suffix": AFTER, "max_tokens": 50}


def ask_for(gateway: LocalGateway, body: Any = None, *, authorization: str | None = None, **fields: Any) -> Got:
    headers = {} if authorization is None else {"authorization": authorization}
    sent = {**BODY, **fields} if body is None else body
    if isinstance(sent, dict):
        sent = {name: value for name, value in sent.items() if value is not ...}
    return request(gateway, "POST", FIM, sent, **headers)


@pytest.fixture(params=["newest", "february"])
def dialect(request: pytest.FixtureRequest, make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(dialect=request.param)


@pytest.fixture
def february(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(dialect="february")


def test_a_whole_answer_has_the_providers_shape(dialect: LocalGateway) -> None:
    got = ask_for(dialect)
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    body = got.json
    assert (body["object"], body["model"]) == ("fim.completion", "codestral-2508")
    assert body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "a + b"}, "finish_reason": "stop"}
    ]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert "cost" not in usage
    assert "provider" not in body


def test_a_stream_has_deltas_usage_and_done(dialect: LocalGateway) -> None:
    got = ask_for(dialect, stream=True)
    assert got.headers["content-type"] == "text/event-stream"
    *pieces, last, done = got.events
    assert done == "[DONE]"
    assert {piece["object"] for piece in [*pieces, last]} == {"fim.completion.chunk"}
    assert got.text == "a + b"
    assert len(pieces) > 2
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * len(pieces)
    assert (last["choices"][0]["finish_reason"], last["usage"]) == ("stop", ask_for(dialect).json["usage"])


def test_the_other_provider_answers_with_bare_texts(gateway: LocalGateway) -> None:
    body = ask_for(gateway, model=MERCURY).json
    assert (body["object"], body["model"]) == ("text_completion", "mercury-edit-2")
    assert body["choices"][0]["text"] == "a + b"
    *pieces, done = ask_for(gateway, model=MERCURY, stream=True).events
    assert done == "[DONE]"
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == "a + b"
    assert pieces[-1]["usage"] == body["usage"]


WRONG_BODIES = [
    b"{",
    [],
    {**BODY, "model": 5},
    {**BODY, "prompt": None},
    {"model": CODESTRAL, "max_tokens": 5},
    {**BODY, "suffix": None},
    {**BODY, "stop": "\n"},
    {**BODY, "stop": [1]},
    {**BODY, "max_tokens": "5"},
    {**BODY, "max_tokens": True},
    {**BODY, "stream": 1},
]


@pytest.mark.parametrize("body", WRONG_BODIES, ids=str)
def test_what_does_not_fit_the_schema_is_400(dialect: LocalGateway, body: Any) -> None:
    got = ask_for(dialect, body)
    assert (got.status, got.json["error"]) == (400, "Invalid request")


@pytest.mark.parametrize("tokens", [..., 0, 1001, 5000])
def test_tokens_missing_or_too_many_are_503(dialect: LocalGateway, tokens: Any) -> None:
    got = ask_for(dialect, max_tokens=tokens)
    assert (got.status, got.json["error"]) == (503, "Service Unavailable")
    assert ask_for(dialect, max_tokens=1000).status == ask_for(dialect, max_tokens=1).status == 200


def test_models(gateway: LocalGateway, february: LocalGateway) -> None:
    got = ask_for(gateway, model="mistralai/codestral-2501")
    assert (got.status, got.json) == (
        400,
        {"error": "mistralai/codestral-2501 is not a supported FIM model", "error_type": "unsupported_fim_model"},
    )
    assert ask_for(february, model="mistralai/codestral-2501").status == 200
    got = ask_for(february, model=MERCURY)
    assert (got.status, got.json) == (400, {"error": "inception/mercury-edit-2 is not a mistralai model"})


def test_checks_come_in_the_gateways_order(make_gateway: Callable[..., LocalGateway], dialect: LocalGateway) -> None:
    got = ask_for(dialect, b"{", authorization="")
    assert (got.status, got.json["success"]) == (401, False)
    broke = make_gateway(balance=0, api_keys=["right"])
    assert ask_for(broke, authorization="Bearer wrong").status == 401
    assert ask_for(broke, model="a/b", max_tokens=...).status == 400
    assert ask_for(broke, max_tokens=...).status == 503
    got = ask_for(broke)
    assert (got.status, got.json) == (
        402,
        {"error": {"message": "Insufficient credits"}, "error_type": "insufficient_credits"},
    )
    elder = make_gateway(balance=0, dialect="february")
    assert ask_for(elder).json == {"error": {"message": "Insufficient credits"}}


def test_unknown_fields_are_dropped(dialect: LocalGateway) -> None:
    assert ask_for(dialect, temperature=[], anything=5).json["choices"] == ask_for(dialect).json["choices"]


def test_it_stands_outside_the_base(dialect: LocalGateway) -> None:
    assert request(dialect, "POST", "/api/gateway/fim/completions", BODY).status == 400
    assert request(dialect, "GET", FIM).status == 404


def test_limits_and_stops(gateway: LocalGateway) -> None:
    choice = ask_for(gateway, max_tokens=1).json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a", "length")
    choice = ask_for(gateway, stop=["x", " +"]).json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a", "stop")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("def add(a, b):\n    return ", "\n", "a + b"),
        ("def subtract(self, a, b=1):\n    return", "\n", " a - b"),
        ("def mul(x: int, y: int) -> int:", "\n", "\n    return x * y"),
        ("def same(x):\n", "\n", "    return x"),
        ("def nothing():\n    ", "\n", "return None"),
        ("def fib(n):\n    if n <= 1:\n        return n\n    ", "\n\nprint(fib(10))\n", "return fib(n - 1)"),
        ("total = 3\nprint(", ")\ntotal += 1\n", "total"),
        ("", "x = 1", "pass"),
    ],
)
def test_what_is_filled_in_fits(before: str, after: str, expected: str) -> None:
    assert fill(before, after) == expected
    ast.parse(before + fill(before, after) + ("\n" if not before else "") + after)


async def _completions(transport: Transport, body: dict[str, Any]) -> Completion:
    return transport.completions(body, path=FIM)[0]


async def _acompletions(transport: Transport, body: dict[str, Any]) -> Completion:
    return (await transport.acompletions(body, path=FIM))[0]


async def _stream(transport: Transport, body: dict[str, Any]) -> Completion:
    with transport.stream(body, path=FIM) as pieces:
        text = "".join(delta.text for delta in pieces)
        assert pieces.completion is not None
        assert pieces.completion.text == text
        return pieces.completion


async def _astream(transport: Transport, body: dict[str, Any]) -> Completion:
    async with await transport.astream(body, path=FIM) as pieces:
        text = "".join([delta.text async for delta in pieces])
        assert pieces.completion is not None
        assert pieces.completion.text == text
        return pieces.completion


@pytest.fixture(params=[_completions, _acompletions, _stream, _astream], ids=lambda way: way.__name__[1:])
def fill_in(request: pytest.FixtureRequest) -> Ask:
    return request.param


@pytest.mark.parametrize("model", MODELS)
async def test_both_providers_shapes_are_read(fill_in: Ask, gateway: LocalGateway, model: str) -> None:
    with track_usage() as used:
        answer = await fill_in(transport_to(gateway), {**BODY, "model": f"kilocode/{model}"})
    assert (answer.text, answer.finish_reason) == ("a + b", "stop")
    assert (answer.model, answer.requested_model) == (model.partition("/")[2], f"kilocode/{model}")
    sent = gateway.last_request
    assert sent.path == FIM
    streamed = {"stream": True} if "stream" in fill_in.__name__ else {}
    assert sent.json == {**BODY, "model": model, **streamed}
    assert used.total.output_tokens == 3
    assert (used.total.calls, used.total.calls_without_cost) == (1, 1)


@pytest.mark.parametrize("model", MODELS)
async def test_a_scripted_answer_has_the_providers_shape(fill_in: Ask, gateway: LocalGateway, model: str) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5}
    gateway.script(Reply.text("x  +\n\ty", usage=usage, finish_reason="length"), path=FIM)
    answer = await fill_in(transport_to(gateway), {**BODY, "model": model})
    assert (answer.text, answer.finish_reason) == ("x  +\n\ty", "length")
    assert answer.usage is not None
    assert str(answer.usage.cost) == "0.5"
    assert gateway.scripted == 0


async def test_without_a_key_nothing_is_sent_to_the_public_gateway(fill_in: Ask) -> None:
    class Refusing:
        is_closed = False

        def build_request(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError

        send = build_request

    class AsyncRefusing(Refusing):
        aclose = Refusing.build_request

    transport = Transport(GatewayConfig(), http_client=Refusing(), http_async_client=AsyncRefusing())
    with pytest.raises(core.AuthenticationError, match=r"nothing was sent. Set KILOCODE_API_KEY") as caught:
        await fill_in(transport, BODY)
    assert "free model" not in str(caught.value)
    assert CODESTRAL in str(caught.value)


BOTH = ("'mistralai/codestral-2508'", "'inception/mercury-edit-2'")
REFUSALS: dict[str, tuple[type[core.KiloCodeError], tuple[str, ...]]] = {
    "success_false_401": (core.AuthenticationError, ("Invalid token", "wrong, expired or revoked")),
    "insufficient_credits": (core.InsufficientBalanceError, ("Insufficient credits", "https://app.kilo.ai/profile")),
    "byok_402": (core.InsufficientBalanceError, ("[BYOK]", "your own provider account")),
    "unsupported_fim_model": (core.ModelNotFoundError, ("not a supported FIM model", *BOTH)),
    "unsupported_fim_model_feb": (core.ModelNotFoundError, ("not a mistralai model", *BOTH)),
    "model_not_found": (core.ModelNotFoundError, BOTH),
    "invalid_json_400": (core.InvalidRequestError, ("Could not parse", "prompt, suffix, stop")),
    "byok_key_required": (core.InvalidRequestError, ("requires a BYOK API key", "Store a key")),
    "model_not_allowed": (core.ModelNotAllowedError, ("not allowed for your team", "administrator")),
    "data_collection_required": (core.DataCollectionRequiredError, ("another model that fills gaps",)),
    "context_length_upstream": (core.ContextLengthExceededError, ("prompt and the suffix are too long", "the gap")),
    "service_unavailable_503": (core.UpstreamError, ("temporarily unavailable", "fills gaps in code")),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_advice_fits_gaps_in_code(fill_in: Ask, gateway: LocalGateway, name: str) -> None:
    kind, words = REFUSALS[name]
    gateway.script(Reply.error(name))
    with pytest.raises(kind) as caught:
        await fill_in(transport_to(gateway), BODY)
    text = str(caught.value)
    for word in words:
        assert word in text
    for wrong in ("free model", "`provider`", "provider={", "messages", "kilocode_gateway models", "Did you mean"):
        assert wrong not in text
    assert len(gateway.requests) == 1


async def test_a_name_that_fills_no_gaps_is_asked_for_once(fill_in: Ask, gateway: LocalGateway) -> None:
    with pytest.raises(core.ModelNotFoundError, match="kilo/auto is not a supported FIM model"):
        await fill_in(transport_to(gateway), {**BODY, "model": "kilo/auto"})
    assert len(gateway.requests) == 1


async def test_no_chat_model_is_suggested(fill_in: Ask, gateway: LocalGateway) -> None:
    gateway.script(Reply.error("model_not_found"))
    with pytest.raises(core.ModelNotFoundError) as caught:
        await fill_in(transport_to(gateway), {**BODY, "model": "kilo-auto/balancd"})
    assert "nearest" not in caught.value.details


def test_the_advice_names_the_models_that_are_served(gateway: LocalGateway) -> None:
    for named in BOTH:
        assert ask_for(gateway, model=named.strip("'")).status == 200
    assert {named.strip("'") for named in BOTH} == set(MODELS)


def test_the_body() -> None:
    assert fim_body("m", "p", {"suffix": None, "stop": None}) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": USUAL_TOKENS,
    }
    settings = {"suffix": "", "stop": "x", "max_tokens": 5, "min_tokens": 0, "temperature": 0}
    assert fim_body("m", "p", settings) == {"model": "m", "prompt": "p", **settings, "stop": ["x"]}
    assert fim_body("m", "p", {"stop": ("x", "y")})["stop"] == ["x", "y"]
    assert "stop" not in {**fim_body("m", "p", {"stop": []}), **fim_body("m", "p", {"stop": ""})}


WRONG_SETTINGS = [
    *(("max_tokens", value) for value in (0, -1, 1001, 10**12, 5.0, "5", True)),
    *(("min_tokens", value) for value in (-1, 1.5, "5", False)),
    *(("stop", value) for value in (5, [""], [1], {"a": 1})),
    *(("suffix", value) for value in (5, ["a"], b"a")),
    *(("temperature", value) for value in ("hot", True)),
]


@pytest.mark.parametrize(("name", "value"), WRONG_SETTINGS, ids=str)
def test_what_the_gateway_would_refuse_is_refused_with_the_reason(name: str, value: Any) -> None:
    with pytest.raises(core.ConfigurationError, match=f"^{name} must be .*, got "):
        fim_body("m", "p", {name: value})
    assert MOST_TOKENS == 1000


def test_a_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(core.ConfigurationError, match="prompt must be a text, got 5"):
        fim_body("m", 5, {})  # type: ignore[arg-type]
