"""No key, no header and no other provider's key shows: in errors, frames, logs, reports, files, the command line."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from kilocode_gateway import EmbeddingModels, track_usage
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import ConfigurationError, KiloCodeError
from kilocode_gateway.hidden import HiddenText
from kilocode_gateway.transport import FIM, Transport
from tests.canaries import (
    CANARIES,
    FAULTS,
    FOREIGN,
    HEADER,
    HEADERS,
    KEY,
    elsewhere,
    errors_show_nothing,
    everything_said,
    forms,
    found,
    leaks,
)
from tests.core.helpers import BODY, eventually, time_limits, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

__all__ = ["elsewhere"]


def _transport(gateway: LocalGateway, **settings: Any) -> Transport:
    return transport_to(gateway, api_key=settings.pop("api_key", KEY), headers=HEADERS, **settings)


def test_what_is_looked_for_is_found_in_each_form() -> None:
    for canary in CANARIES:
        for form in forms(canary):
            assert found(f"before{form}after")
            assert found(form.encode())
    assert not found("canary")


@pytest.mark.parametrize("fault", FAULTS)
async def test_errors_show_nothing(gateway: LocalGateway, ask: Ask, fault: str) -> None:
    gateway.script(*[FAULTS[fault]()] * 9)
    for seconds in time_limits():
        with errors_show_nothing():
            await ask(_transport(gateway, timeout=seconds if fault == "silence" else 20.0), BODY)
        if gateway.requests:
            break
    assert gateway.last_request.authorization == f"Bearer {KEY}"


async def _refused_connection(ask: Ask, gateway: LocalGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = GatewayConfig.resolve(base_url=f"http://127.0.0.1:{port}/", api_key=KEY)
    await ask(Transport(config, max_retries=0, headers=HEADERS), BODY)


async def _no_json(ask: Ask, gateway: LocalGateway) -> None:
    await ask(_transport(gateway), {**BODY, "metadata": {"x": object()}})


async def _wrong_option(ask: Ask, gateway: LocalGateway) -> None:
    await ask(_transport(gateway), {**BODY, "total_timeout": -1})


async def _no_key_given(ask: Ask, gateway: LocalGateway) -> None:
    await ask(_transport(gateway, api_key=lambda: f"{KEY}\n"), BODY)


def _vault() -> str:
    raise OSError("the vault is closed")


async def _key_function_fails(ask: Ask, gateway: LocalGateway) -> None:
    await ask(_transport(gateway, api_key=_vault), BODY)


OWN = {
    one.__name__.strip("_"): one
    for one in (_refused_connection, _no_json, _wrong_option, _no_key_given, _key_function_fails)
}


@pytest.mark.parametrize("way", OWN)
async def test_errors_of_our_own_side_show_nothing(gateway: LocalGateway, ask: Ask, way: str) -> None:
    with pytest.raises(KiloCodeError) as caught:
        await OWN[way](ask, gateway)
    assert leaks(caught.value) == {}


WRONG: dict[str, Callable[[], object]] = {
    "key with a line break": lambda: GatewayConfig.resolve(api_key=f"{KEY}\n"),
    "key as a list": lambda: GatewayConfig.resolve(api_key=[KEY]),
    "address beside a key": lambda: GatewayConfig.resolve(api_key=KEY, base_url="http://host.example"),
    "retries beside headers": lambda: Transport(GatewayConfig.resolve(api_key=KEY), headers=HEADERS, max_retries=-1),
    "time limit beside headers": lambda: Transport(GatewayConfig.resolve(api_key=KEY), headers=HEADERS, timeout=-1),
    "header that cannot be sent": lambda: Transport(
        GatewayConfig.resolve(), headers={**HEADERS, "X-Two": f"{HEADER}\n"}
    ),
    "header of a wrong type": lambda: Transport(GatewayConfig.resolve(), headers={"X": HEADER.encode()}),  # type: ignore[dict-item]
    "headers that are pairs": lambda: Transport(GatewayConfig.resolve(), headers=[("X", HEADER)]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(
    "address",
    [
        f"https://host.example/?k={KEY}",
        f"https://host.example/#{KEY}",
        f"https://host.example/ ?k={KEY}",
        f"https://host.example\\?k={KEY}",
        f"ftp://host.example/?k={KEY}",
        f"https://user:{quote(KEY, safe='')}@host.example/",
        f"user:{quote(KEY, safe='')}@host.example",
        KEY.replace("/", ""),
        f"{'x' * 80}.{KEY}",
    ],
)
def test_what_an_address_hides_is_not_repeated(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", address)
    with pytest.raises(ConfigurationError) as caught:
        GatewayConfig.resolve()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings_show_nothing(what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WRONG[what]()
    assert leaks(caught.value) == {}


async def test_a_call_that_is_cancelled_shows_nothing(gateway: LocalGateway) -> None:
    from kilocode_gateway.local import Reply

    gateway.script(Reply.text("x", delay=60.0))
    task = asyncio.create_task(_transport(gateway).acomplete(BODY))
    await asyncio.to_thread(eventually, lambda: bool(gateway.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert leaks(caught.value) == {}


def _raised_beside_secrets(gateway: LocalGateway) -> BaseException:
    try:
        _transport(gateway).complete({**BODY, "metadata": {"x": object()}})
    except ConfigurationError as error:
        return error
    raise AssertionError


def test_tracebacks_with_locals_show_nothing(gateway: LocalGateway) -> None:
    error = _raised_beside_secrets(gateway)
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "headers = " in text
    assert found(text) == []


def test_richs_tracebacks_show_nothing(gateway: LocalGateway) -> None:
    console = pytest.importorskip("rich.console")
    rich = pytest.importorskip("rich.traceback")
    error = _raised_beside_secrets(gateway)
    out = io.StringIO()
    told = rich.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=10, locals_max_length=100
    )
    console.Console(file=out, width=400).print(told)
    assert "headers" in out.getvalue()
    assert not [word for word in ("canary/k", "canary/h") if word in out.getvalue()]


def test_a_hidden_text_is_a_text() -> None:
    hidden = HiddenText("a-secret")
    assert (hidden, f"{hidden}", hidden[2:], hash(hidden)) == ("a-secret", "a-secret", "secret", hash("a-secret"))
    assert "secret" not in repr(hidden) + repr([hidden]) + repr(hidden[2:])


async def _everything(gateway: LocalGateway) -> list[object]:
    """Use all that the core has, and give what can be looked at afterwards."""
    from kilocode_gateway.local import Reply

    transport = _transport(gateway, max_retries=1)
    config = transport.config
    gateway.script(Reply.error("empty_500"))
    with track_usage() as used:
        whole = transport.complete(BODY)
        with transport.stream(BODY) as pieces:
            deltas = list(pieces)
        awaited = await transport.acomplete({**BODY, "model": "nobody/none", "fallback_models": ["kilo/auto"]})
        vectors = transport.embed(["a"], model="openai/text-embedding-3-small")
        fim = {"model": "mistralai/codestral-2508", "prompt": "a", "max_tokens": 9}
        filled = await transport.acompletions(fim, path=FIM)
        profile = await transport.arequest("GET", "/api/profile/balance")
    catalog = Catalog.discover(config=config, refresh=True)
    models = EmbeddingModels.discover(config=config)
    shown = [
        transport,
        vars(transport),
        config,
        config.headers(),
        whole,
        deltas,
        awaited,
        vectors,
        filled,
        profile,
    ]
    return [*shown, used, used.total, catalog, catalog._repr_html_(), models, pieces, gateway, gateway.requests]


async def test_objects_logs_and_warnings_show_nothing(gateway: LocalGateway, elsewhere: LocalGateway) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration, usual = 0.0, loop.slow_callback_duration
    try:
        with everything_said() as said:
            looked_at = await _everything(gateway)
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = usual
    assert {line.partition(".")[0].partition(":")[0] for line in said} >= {"asyncio"}
    assert any(line.startswith(("httpcore", "httpx")) for line in said)
    assert [line for line in said if found(line)] == []
    assert [type(one) for one in looked_at if found(one)] == []
    assert elsewhere.connections == 0


def test_the_cache_folder_holds_nothing(gateway: LocalGateway, cache_dir: Path) -> None:
    asyncio.run(_everything(gateway))
    files = [path for path in cache_dir.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if found(path.read_bytes()) or found(str(path))] == []


@pytest.mark.parametrize(
    "command", [["models"], ["doctor"], ["balance"], ["chat", "Hello"], ["show", "kilo/auto"]], ids=" ".join
)
@pytest.mark.parametrize("accepted", [True, False], ids=["good key", "bad key"])
def test_the_command_line_shows_nothing(
    make_gateway: Callable[..., LocalGateway], elsewhere: LocalGateway, command: list[str], accepted: bool
) -> None:
    gateway = make_gateway(api_keys=[KEY if accepted else "another-key"])
    ours = {
        "KILOCODE_BASE_URL": gateway.base_url,
        "KILOCODE_API_KEY": KEY,
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONDEVMODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "kilocode_gateway", *command],
        env={**os.environ, **ours},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout + done.stderr
    assert found(done.stdout + done.stderr) == []
    assert elsewhere.connections == 0
    assert all(FOREIGN not in repr(request.header_pairs) for request in gateway.requests)
