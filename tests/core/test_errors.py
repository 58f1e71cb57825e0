"""Errors as things: they travel, they say what they know, and they hold no key and no request."""

from __future__ import annotations

import asyncio
import copy
import logging
import multiprocessing
import pickle
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import openai
import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.http import aget, get
from kilocode_gateway.local import Reply
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from tests.core.helpers import BODY, KEY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

ALL = [*core.ERRORS.values(), *(kind for key, kind in OPENAI_ERRORS.items() if kind is not key)]
FACTS: dict[str, Any] = {
    "status": 402,
    "code": "usage_limit_exceeded",
    "body": {"error": {"message": "no money", "param": "x", "type": "t"}},
    "headers": {"request-id": "r1", "content-type": "application/json", "retry-after": "3"},
    "url": "http://127.0.0.1:1/api/gateway/chat/completions",
    "model": "a/b",
    "provider": "P",
    "retryable": True,
    "retry_after": 3.0,
    "text": "so far",
    "balance": -1,
}


def _same(one: core.KiloCodeError, other: core.KiloCodeError) -> None:
    assert type(one) is type(other)
    assert one is not other
    assert (str(one), one.args, one.facts()) == (str(other), other.args, other.facts())
    assert vars(one) == vars(other)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
def test_every_error_travels(kind: type[core.KiloCodeError]) -> None:
    error = kind("What happened.", **FACTS)
    assert str(error) == "What happened."
    assert error.details == {"balance": -1}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        _same(pickle.loads(pickle.dumps(error, protocol)), error)
    _same(copy.copy(error), error)
    _same(copy.deepcopy(error), error)
    assert issubclass(kind, core.KiloCodeError)
    assert not issubclass(kind, ValueError | AssertionError), "pydantic would wrap it"


def _fail(kind: type[core.KiloCodeError]) -> None:
    raise kind("Over there.", **FACTS)


@pytest.mark.parametrize("kind", [core.RateLimitError, OPENAI_ERRORS[core.RateLimitError]], ids=["core", "openai"])
def test_errors_come_back_from_other_processes(kind: type[core.KiloCodeError]) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(kind) as caught:
        pool.apply(_fail, (kind,))
    assert caught.value.facts() == kind("Over there.", **FACTS).facts()


@pytest.mark.parametrize("kind", core.ERRORS)
def test_the_tables_keep_the_tree(kind: type[core.KiloCodeError]) -> None:
    assert core.ERRORS[kind] is kind
    assert issubclass(OPENAI_ERRORS[kind], kind)
    if not issubclass(kind, core.ConfigurationError | core.BudgetExceededError):
        assert issubclass(OPENAI_ERRORS[kind], openai.APIError)


def test_the_openai_face() -> None:
    error = OPENAI_ERRORS[core.InsufficientBalanceError]("No money.", **FACTS)
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.request_id, error.param, error.type) == (402, "r1", "x", "t")
    assert (error.code, error.message, error.body) == ("usage_limit_exceeded", "No money.", FACTS["body"])
    assert error.response.status_code == 402
    assert error.response.json() == FACTS["body"]
    assert error.response.headers["retry-after"] == "3"
    assert str(error.request.url) == FACTS["url"]
    assert str(error.response.request.url) == FACTS["url"]
    assert error.request.content == b""
    assert "authorization" not in error.request.headers
    for bare in ALL:
        face = bare("x")
        if isinstance(face, openai.APIError):
            assert face.request.method == "POST"
            assert (face.response, face.status_code) == (None, None)


def test_a_long_body_is_cut_and_text_is_kept_once() -> None:
    error = core.StreamInterruptedError("Cut.", body="x" * 10_000)
    assert len(error.body) == 4000  # type: ignore[arg-type]
    assert error.with_text("") is error
    assert str(error) == "Cut."
    error.with_text("1234567890" * 200)
    error.with_text("again")
    assert str(error) == "Cut. The 2,000 characters that had arrived are kept in the error's `text`."
    assert error.args == (str(error),)


FAULTS: dict[str, Reply] = {
    **{name: Reply.error(name) for name in Reply.ERRORS if name != "stream_without_done"},
    "dropped": Reply.text("x", drop=True),
    "reset": Reply.text("x" * 500, reset_after=300),
    "cut": Reply.text("x" * 500, cut_after=300),
    "stalled": Reply.text("x" * 500, stall_after=300),
    "silent": Reply.text("x", delay=60),
    "gzip": Reply.text("x", gzip="lie"),
    "garbage": Reply.chunks(["data: {nonsense\n\n"]),
    "echo_body": Reply.raw(400, {"error": {"message": f"bad token {KEY}", "metadata": {"k": [f"x{KEY}x"]}}}),
    "echo_page": Reply.raw(500, f"<html><p>{KEY}</p></html>"),
    "echo_redirect": Reply.raw(302, "", {"location": f"https://elsewhere.invalid/{KEY}"}),
    "echo_in_200": Reply.raw(200, {"error": {"code": 500, "message": f"bad token {KEY}"}}),
    "echo_in_stream": Reply.chunks([{"error": {"message": f"bad token {KEY}"}}]),
    "echo_not_json": Reply.chunks([f"data: Bearer {KEY}\n\n"]),
    "echo_page_200": Reply.raw(200, f"<html>{KEY}</html>"),
    "echo_header": Reply.raw(429, {"error": "slow"}, {"request-id": KEY}),
}
QUIET = {"stream_without_finish", "stream_done_without_finish", "garbage", "echo_in_stream", "echo_not_json"}


def _holds_no_key(error: BaseException) -> None:
    seen: list[BaseException | None] = [error, error.__cause__, error.__context__]
    assert seen[1:] == [None, None]
    shown = [
        str(error),
        repr(error),
        f"{error!s} {error!r}",
        repr(vars(error)),
        "".join(traceback.format_exception(error)),
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        repr(pickle.dumps(error)),
    ]
    for text in shown:
        assert KEY not in text


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("table", [core.ERRORS, OPENAI_ERRORS], ids=["core", "openai"])
async def test_no_error_shows_the_key(
    gateway: LocalGateway, ask: Ask, streamed: bool, name: str, table: core.ErrorTable
) -> None:
    is_late = name in ("stalled", "silent")
    transport = transport_to(gateway, errors=table, timeout=0.5 if is_late else 20.0)
    gateway.script(FAULTS[name])
    if name in QUIET and not streamed:
        # A reply without a stream has no place for these.
        return
    with pytest.raises(core.KiloCodeError) as caught:
        await ask(transport, BODY)
    _holds_no_key(caught.value)
    assert is_late or len(gateway.requests) == 1


@pytest.mark.parametrize("name", ["html_502", "dropped", "silent", "echo_body", "redirect_302"])
async def test_no_error_of_a_fetch_shows_the_key(gateway: LocalGateway, name: str) -> None:
    config = GatewayConfig.resolve(base_url=gateway.base_url, api_key=KEY)
    gateway.script(*[FAULTS[name]] * 2, path="models")
    seconds = 0.2 if name == "silent" else 20.0
    for is_async in (False, True):
        with pytest.raises(core.KiloCodeError) as caught:
            await aget(config, "models", timeout=seconds) if is_async else get(config, "models", timeout=seconds)
        _holds_no_key(caught.value)


async def test_a_key_in_a_header_is_a_key_too(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(FAULTS["echo_body"])
    transport = transport_to(gateway, api_key=None, headers={"authorization": f"Bearer {KEY}"})
    with pytest.raises(core.KiloCodeError) as caught:
        await ask(transport, BODY)
    _holds_no_key(caught.value)


async def test_no_log_of_ours_shows_the_key(
    gateway: LocalGateway, ask_streamed: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.script(
        Reply.chunks(
            [{"choices": [{"index": 0, "delta": {"content": KEY}, "finish_reason": "stop"}]}],
            done=False,
            reset_after=120,
        )
    )
    await ask_streamed(transport_to(gateway), BODY)
    assert "The connection broke after the answer was complete" in caplog.text
    assert KEY not in "".join(record.getMessage() for record in caplog.records)


def test_settings_do_not_show_the_key(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    for thing in (transport, transport.config, transport.config.api_key, vars(transport), gateway):
        assert KEY not in repr(thing)
        assert KEY not in f"{thing!s}"


async def test_an_error_that_is_already_handled_is_not_chained_in(gateway: LocalGateway, ask: Ask) -> None:
    """What the caller was handling stays the context; nothing of the HTTP library comes in between."""
    gateway.script(Reply.text("x", drop=True))
    handled = KeyError("before")
    try:
        raise handled
    except KeyError:
        with pytest.raises(core.ConnectionFailedError) as caught:
            await ask(transport_to(gateway), BODY)
    assert caught.value.__context__ is handled


def test_errors_are_raised_by_the_names_that_everyone_imports() -> None:
    import kilocode_gateway

    for kind in core.ERRORS:
        assert getattr(kilocode_gateway, kind.__name__) is kind


async def test_no_warning_comes_with_an_error(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.text("x" * 500, reset_after=300))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(core.KiloCodeError):
            await ask(transport_to(gateway), BODY)
        await asyncio.sleep(0)
