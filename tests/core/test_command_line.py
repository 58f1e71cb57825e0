"""`python -m kilocode_gateway` as its users see it: what holds for every command, then models and serve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilocode_gateway import __version__
from kilocode_gateway.__main__ import main
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import FAMILY, MODELS, discover, fetches
from tests.core.commands import KEY, keys_in_help, names_in, run, run_at_a_terminal, start
from tests.core.helpers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def ids_in(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()[1:]]


def test_models_prints_a_table_and_tells_the_source_aside(
    here: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    told = capsys.readouterr()
    assert ids_in(told.out) == [entry["id"] for entry in MODELS] + FAMILY
    head, large, small, middle, varies, *_ = told.out.splitlines()
    assert head.split() == ["model", "context", "USD/M", "in", "USD/M", "out", "can"]
    assert large.split() == ["acme/large", "200,000", "10.00", "30.00", "tools", "images", "reasoning"]
    assert small.split() == ["acme/small:free", "8,000", "free", "free", "tools"]
    assert middle.split() == ["beta/middle", "64,000", "1.00", "2.00"]
    assert varies.split() == ["beta/varies", "?", "varies", "varies", "tools"]
    assert told.err == "10 of 10 models, from gateway\n"


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["acme"], ["acme/large", "acme/small:free"]),
        (["POEMS", "acme"], ["acme/large"]),
        (["--free"], ["acme/small:free", "kilo-auto/free"]),
        (["--vision", "--reasoning", "acme"], ["acme/large"]),
        (["--min-context", "200k", "a", "--tools", "poems"], ["acme/large"]),
        (["--min-context", "0.2M", "acme"], ["acme/large"]),
        (["acme", "--sort", "price"], ["acme/small:free", "acme/large"]),
        (["acme", "--sort", "context"], ["acme/large", "acme/small:free"]),
        (["beta", "--sort", "name"], ["beta/middle", "beta/varies"]),
    ],
    ids=" ".join,
)
def test_models_filters_and_sorts(
    here: LocalGateway, capsys: pytest.CaptureFixture[str], arguments: list[str], ids: list[str]
) -> None:
    assert main(["models", *arguments]) == 0
    assert ids_in(capsys.readouterr().out) == ids


def test_models_fetches_once_and_again_on_refresh(here: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models"])
    main(["models"])
    assert fetches(here) == 1
    main(["models", "--refresh"])
    assert fetches(here) == 2


def test_models_that_do_not_fit_name_near_ones(here: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "acme/larg3"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "None of the 10 models fits. Did you mean 'acme/large'?\n"


def test_models_as_json(here: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "acme", "--json"]) == 0
    large, small = json.loads(capsys.readouterr().out)
    assert large == discover(here)["acme/large"].to_dict()
    assert set(large) == {
        *("id", "name", "description", "created", "expires", "preferred_index", "context_window", "max_output_tokens"),
        *("input_modalities", "output_modalities", "supported_parameters", "reasoning_efforts", "pricing"),
        *("is_free", "is_paid", "may_train_on_prompts", "supports_vision", "supports_pdf", "supports_audio"),
        *("supports_video", "supports_tools", "supports_tool_choice", "supports_structured_output"),
        *("supports_json_mode", "supports_reasoning"),
    }, "scripts rely on these names"
    assert large["pricing"]["output"] == "30"
    assert small["is_free"] is True
    assert main(["models", "nothing-like-it", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert names_in([large, small]) <= keys_in_help("models"), "the help names every key"


@posix
@pytest.mark.parametrize("columns", [20, 30, 40, 60, 100, 200])
def test_the_table_fits_the_terminal(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    long = {
        **MODELS[0],
        "id": "vendor/" + "very-" * 12 + "long",
        "pricing": {"prompt": "0.00123", "completion": "0.0123"},
    }
    gateway = make_gateway(models=[long, *MODELS])
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    code, shown, _ = run_at_a_terminal("models", columns=columns)
    lines = shown.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert len(lines) == 12
    assert lines[1].startswith("vendor/ver")
    if columns >= 60:
        assert "1230.00" in lines[1], "a number is never cut"


@posix
def test_a_terminal_of_80_columns_shows_names_that_can_be_copied(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    _, shown, _ = run_at_a_terminal("models")
    assert "\nmistralai/mistral-large-2512  " in shown
    assert "…" not in shown


def test_what_goes_to_another_program_is_not_cut(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = "vendor/" + "very-" * 40 + "long"
    monkeypatch.setenv("KILOCODE_BASE_URL", make_gateway(models=[{"id": id_, "pricing": {}}]).base_url)
    monkeypatch.setenv("COLUMNS", "40")  # some environments hand it on to everything
    main(["models", "very"])
    assert ids_in(capsys.readouterr().out) == [id_]


@pytest.mark.parametrize(
    ("price", "shown"),
    [("0.0000000325", "0.0325"), ("0.000000004", "0.004"), ("0.0000000001", "0.0001"), ("0.00001", "10.00")],
)
def test_a_small_price_is_not_rounded_away(
    make_gateway: Callable[..., LocalGateway],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    price: str,
    shown: str,
) -> None:
    entry = {"id": "acme/x", "pricing": {"prompt": price, "completion": "0.000001"}}
    monkeypatch.setenv("KILOCODE_BASE_URL", make_gateway(models=[entry]).base_url)
    main(["models", "acme"])
    assert capsys.readouterr().out.split()[-3] == shown


def test_nothing_in_an_id_steers_the_terminal_or_breaks_the_encoding(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        {"id": f"acme/{odd}", "name": odd, "pricing": {}} for odd in ("\x1b[31mred\x07", "größe", "\ud800", "a\nb")
    ]
    gateway = make_gateway()
    gateway.script(Reply.raw(200, json.dumps({"data": entries})), path="models")
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    table = run("models", "acme", encoding="ascii")
    assert (table.returncode, table.stdout.count("\n")) == (0, 5), table.stderr
    assert "\x1b" not in table.stdout
    told = run("models", "acme", "--json", encoding="ascii")
    assert [info["name"] for info in json.loads(told.stdout)] == [entry["name"] for entry in entries]


def test_a_failed_discovery_is_told_and_the_bundled_models_are_listed(here: LocalGateway) -> None:
    here.script(Reply.raw(503, {"error": "Service Unavailable", "message": "busy"}), path="models")
    done = run("models")
    assert done.returncode == 0
    assert ids_in(done.stdout) == FAMILY
    warning, source = done.stderr.splitlines()
    assert "used instead: the bundled models" in warning
    assert source == "6 of 6 models, from bundled"


def test_a_bad_setting_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", "gateway.example")
    assert main(["models"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: The gateway address must be")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["models", "--sort", "colour"],
        ["models", "--min-context", "many"],
        ["models", "--min-context", "inf"],
        ["models", "--min-context", "nan"],
        ["models", "--min-context", ""],
        ["models", "--min-context", "-5"],
        ["show"],
        ["show", "acme/large", "acme/small:free"],
        ["balance", "now"],
        ["chat", "acme/large", "Hello", "there"],
        ["chat", "Hello", "--colour"],
        ["chat", ""],
        ["cache", "empty"],
        ["chat", "acme/large", " "],
        ["models", "acme", "--colour"],
        ["doctor", "acme"],
        ["serve", "--port", "99999"],
        ["serve", "--port", "-1"],
        ["serve", "--dialect", "1999"],
        ["fly"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["models", "--fre"], "arguments: --fre. Did you mean '--free'?"),
        (["models", "--re"], "arguments: --re. Did you mean '--reasoning' or '--refresh'?"),
        (["models", "--min=5"], "arguments: --min=5. Did you mean '--min-context'?"),
        (["chat", "Hello", "--jsno"], "arguments: --jsno. Did you mean '--json'?"),
        (["doctor", "--colour"], "arguments: --colour"),
        (["doctor", "acme"], "arguments: acme"),
    ],
    ids=str,
)
def test_options_are_not_shortened_and_the_nearest_is_named(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"{hint}\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"kilocode-gateway {__version__}\n")


FRAMEWORKS = {"openai", "pydantic", "langchain_core", "langchain_openai", "llama_index", "langgraph", "langsmith"}
HTTP = {"httpx", "httpx2", "httpcore", "httpcore2"}


def loaded(*arguments: str) -> set[str]:
    """Run a command in a fresh process, and list the modules that it loaded."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['kilocode_gateway', *{arguments!r}]\n"
        "try:\n    runpy.run_module('kilocode_gateway', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print('\\n' + ' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models", "--help"], ["chat", "--help"], ["--version"], ["fly"]], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    modules = loaded(*arguments)
    heavy = {*FRAMEWORKS, *HTTP, "ssl", "asyncio", "decimal", "platformdirs", "email", "logging"}
    assert modules & heavy == set()
    ours = {name for name in modules if name.startswith("kilocode_gateway")}
    rooms = {"", ".__main__", "._version", ".errors", ".commands", ".commands.parser", ".commands.terminal"}
    assert ours <= {f"kilocode_gateway{room}" for room in rooms}


def test_what_is_on_disk_is_told_without_an_http_library_or_a_framework(here: LocalGateway) -> None:
    run("models")
    modules = loaded("models")
    assert fetches(here) == 1
    assert "kilocode_gateway.catalog" in modules
    needless = {"transport", "streams", "wire", "usage", "doctor", "local", "account", "endpoints"}
    assert modules & {*FRAMEWORKS, *HTTP, *(f"kilocode_gateway.{room}" for room in needless)} == set()
    assert loaded("cache") & {*FRAMEWORKS, *HTTP, "asyncio", "kilocode_gateway.catalog"} == set()


def test_help_tells_the_exit_codes() -> None:
    for command in ([], ["models"], ["show"], ["chat"], ["balance"], ["doctor"], ["cache"], ["serve"]):
        told = run(*command, "--help").stdout
        assert [word for word in ("  0  ", "  1  ", "  2  ", "  130  ^C") if word not in told] == [], command


@posix
def test_a_closed_pipe_is_no_traceback(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"id": f"acme/{number}", "pricing": {}} for number in range(5000)]
    monkeypatch.setenv("KILOCODE_BASE_URL", make_gateway(models=many).base_url)
    command = f"{sys.executable} -m kilocode_gateway models; echo code $? >&2"
    done = subprocess.run(
        f"({command}) | head -n 1", shell=True, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("model ")
    assert done.stderr == "code 0\n"


@posix
@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        ("models acme", ">&-"),
        ("models acme", "2>&-"),
        ("models acme", "<&-"),
        ("--help", ">&-"),
        ("models", ">&- 2>&-"),
    ],
)
def test_a_closed_stream_is_no_traceback(here: LocalGateway, arguments: str, closed: str) -> None:
    command = f"{sys.executable} -m kilocode_gateway {arguments} {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert "Traceback" not in done.stdout + done.stderr


@posix
@pytest.mark.parametrize(
    "arguments", ["--help", "models", "models --json", "show acme/nothing", "show acme/large", "fly"]
)
def test_a_reader_that_is_gone_is_no_traceback(here: LocalGateway, tmp_path: Path, arguments: str) -> None:
    told = tmp_path / "told"
    # `false` reads nothing; the sleep lets it end first.
    both = f"(sleep 0.2; {sys.executable} -m kilocode_gateway {arguments} 2>&1; echo code $? >{told}) | false"
    done = subprocess.run(both, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
    assert told.read_text() == f"code {2 if arguments == 'fly' else 0}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", ["models", "show acme/large --json"])
def test_a_full_disk_is_one_line(here: LocalGateway, arguments: str) -> None:
    command = f"{sys.executable} -m kilocode_gateway {arguments} >/dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: No space left on device"


@posix
@pytest.mark.parametrize(("arguments", "path"), [(["models"], "models"), (["balance"], "/api/profile/balance")])
def test_an_interrupt_is_clean(
    here: LocalGateway, monkeypatch: pytest.MonkeyPatch, arguments: list[str], path: str
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
    here.script(Reply.ordinary(delay=60), path=path)
    process = start(*arguments)
    assert eventually(lambda: bool(here.requests))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
    assert eventually(lambda: len(here.disconnects) == 1)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serve_says_where_it_is_answers_and_ends_on_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kilocode_gateway", "serve", "--port", "0", "--log", "--dialect", "february"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith(" is no model. Point a program at it with\n")
    address, key = process.stdout.readline(), process.stdout.readline()
    assert address.startswith("export KILOCODE_BASE_URL=http://127.0.0.1:")
    assert key.startswith("export KILOCODE_API_KEY=")
    base_url = address.strip().partition("=")[2]
    with urllib.request.urlopen(f"{base_url}models", timeout=10) as answer:
        assert json.load(answer)["data"][0]["id"] == "kilo/auto"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "GET /api/gateway/models 200" in out


def test_serve_on_a_port_that_is_taken_is_one_line(acme: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", str(acme.port)]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"error: cannot listen on 127.0.0.1 port {acme.port}")
    assert told.err.count("\n") == 1
