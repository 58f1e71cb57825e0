"""`python -m kilocode_gateway show`, as its users see it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.__main__ import main
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import MODELS, discover, fetches
from tests.core.commands import keys_in_help, names_in, run, run_at_a_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "models/acme/large/endpoints"
PROVIDERS: list[dict[str, Any]] = [
    {
        "name": "Fast | acme/large",
        "tag": "fast/fp8",
        "provider_name": "Fast",
        "quantization": "fp8",
        "context_length": 200_000,
        "max_completion_tokens": 8_000,
        "pricing": {"prompt": "0.00002", "completion": "0.00004", "input_cache_read": "0.000001"},
        "uptime_last_30m": 99.87,
    },
    {"name": "Odd", "uptime_last_30m": None, "pricing": None, "context_length": "many", "quantization": None},
    {},
]


def answer(providers: object) -> Reply:
    return Reply.raw(200, {"data": {"id": "acme/large", "name": "Acme Large", "endpoints": providers}})


def test_show_tells_every_known_fact(here: LocalGateway) -> None:
    here.script(answer(PROVIDERS), path=PATH)
    done = run("show", "acme/large")
    assert done.returncode == 0
    id_, _, *lines = done.stdout.splitlines()
    told = {line[:10].strip(): line[10:].strip() for line in lines[: lines.index("")]}
    assert id_ == "acme/large"
    assert told == {
        "name": "Acme Large",
        "context": "200,000 tokens",
        "max output": "unknown",
        "takes": "text, image",
        "gives": "text",
        "supports": "vision, tools, structured output, reasoning",
        "price": "USD 10.00 in, 30.00 out per million tokens",
        "parameters": "reasoning, structured_outputs, tools",
        "about": "Writes poems.",
    }
    head, fast, odd, nothing = [line.split() for line in lines[lines.index("") + 1 :]]
    assert head[:2] == ["provider", "context"]
    assert fast == ["Fast", "200,000", "8,000", "20.00", "40.00", "99.87", "%", "fp8"]
    assert odd == ["Odd", "?", "?", "varies", "varies", "?"]
    assert nothing == ["?", "?", "?", "varies", "varies", "?"]
    assert done.stderr == "from gateway; 3 providers\n"


def test_show_as_json(here: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    here.script(answer(PROVIDERS), path=PATH)
    assert main(["show", "acme/large", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    fast, odd, _ = told.pop("endpoints")
    assert told.pop("routed_models") == []
    assert told == discover(here)["acme/large"].to_dict()
    assert fast.pop("pricing")["output"] == "40"
    assert fast == {
        "provider": "Fast",
        "tag": "fast/fp8",
        "quantization": "fp8",
        "context_window": 200_000,
        "max_output_tokens": 8_000,
        "uptime": 99.87,
    }
    assert (odd["context_window"], odd["uptime"]) == (None, None)
    assert names_in([told, fast]) | {"endpoints", "routed_models", "pricing"} <= keys_in_help("show")


@pytest.mark.parametrize("dialect", ["newest", "february"])
def test_kilo_auto_is_asked_for_under_the_name_that_the_gateway_lists(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    gateway = make_gateway(dialect=dialect)
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    done = run("show", "kilocode/kilo/auto")
    assert done.returncode == 0
    assert done.stdout.startswith("kilo/auto\n")
    listed = {"newest": "kilo-auto/balanced", "february": "kilo/auto"}[dialect]
    assert gateway.last_request.path == f"/api/gateway/models/{listed}/endpoints"
    # The gateway of February 2026 has no such list.
    told = {"newest": "1 provider", "february": "the gateway does not tell who serves it"}[dialect]
    assert done.stderr == f"from gateway; {told}\n"
    if dialect == "february":
        assert json.loads(run("show", "kilo/auto", "--json").stdout)["endpoints"] is None


def test_an_unknown_model_has_near_names(here: LocalGateway) -> None:
    done = run("show", "acme/larg3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: None of the 10 models is called 'acme/larg3'. Did you mean 'acme/large'? ")
    assert done.stderr.count("\n") == 1
    assert run("show", "").returncode == 1


def test_a_model_that_is_newer_than_the_list_on_disk_is_found(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = make_gateway(models=MODELS)
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    gateway.script(Reply.raw(200, {"data": MODELS[1:]}), path="models")
    assert run("models").returncode == 0
    assert run("show", "acme/large").stdout.startswith("acme/large\n")
    assert fetches(gateway) == 2
    run("show", "acme/small:free")
    assert fetches(gateway) == 2
    run("show", "acme/small:free", "--refresh")
    assert fetches(gateway) == 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply.raw(503, {"error": "Service Unavailable", "message": "busy"}),
        Reply.raw(200, "<html></html>"),
        answer("none"),
        Reply.raw(200, {"data": None}),
    ],
    ids=range(4),
)
def test_what_is_known_is_shown_although_the_providers_cannot_be_found_out(here: LocalGateway, reply: Reply) -> None:
    here.script(reply, reply, path=PATH)
    done = run("show", "acme/large")
    assert done.returncode == 0
    assert done.stdout.startswith("acme/large\n")
    warning, source = done.stderr.splitlines()
    assert warning.startswith("warning: Who serves the model could not be found out. ")
    assert source == "from gateway"


@pytest.mark.skipif(os.name == "nt", reason="a terminal")
@pytest.mark.parametrize("columns", [30, 60, 100])
def test_it_fits_the_terminal_and_nothing_steers_it(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    entry = {**MODELS[0], "name": "\x1b[31mred\x07", "description": "many\nwords of it " * 30}
    gateway = make_gateway(models=[entry])
    gateway.script(answer([{**PROVIDERS[0], "provider_name": "\x1b]0;title\x07" * 5}]), path=PATH)
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    code, shown, _ = run_at_a_terminal("show", "acme/large", columns=columns)
    assert code == 0
    assert max(map(len, shown.splitlines())) <= max(columns, 32)
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_an_odd_id_is_asked_for_as_it_is(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = make_gateway(models=[{"id": "acme/größe 2?x#y", "pricing": {}, "created": 10**20}])
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    done = run("show", "acme/größe 2?x#y")
    assert (done.returncode, done.stderr) == (0, "from gateway; 1 provider\n")
