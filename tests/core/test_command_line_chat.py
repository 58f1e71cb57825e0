"""`python -m kilocode_gateway chat`, as its users see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kilocode_gateway.__main__ import main
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.commands import KEY, keys_in_help, names_in, run, run_at_a_terminal, start
from tests.core.helpers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, pipes and terminals")
USAGE = {"prompt_tokens": 1200, "completion_tokens": 34, "cost": 0.0000123}


@pytest.fixture
def gateway(make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    found = make_gateway()
    monkeypatch.setenv("KILOCODE_BASE_URL", found.base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return found


def sent(gateway: LocalGateway) -> tuple[str, list[dict[str, str]]]:
    """Give the model and the messages of the last request."""
    body = gateway.chat_requests[-1].json
    assert body["stream"] is True
    return body["model"], body["messages"]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_chat_prints_the_answer_and_tells_aside_who_gave_it_and_what_it_cost(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Because of\nRayleigh.", reasoning="Hmm.", usage=USAGE, model="acme/wise"))
    done = run("chat", "openai/gpt-5.4", "Why is the sky blue?")
    assert (done.returncode, done.stdout) == (0, "Because of\nRayleigh.\n")
    assert done.stderr == "acme/wise for openai/gpt-5.4; 1,200 tokens in, 34 out; 0.0000123 USD\n"
    assert sent(gateway) == ("openai/gpt-5.4", [user("Why is the sky blue?")])


@pytest.mark.parametrize(
    ("arguments", "piped", "model", "prompt"),
    [
        (["Hello"], "", "kilo/auto", "Hello"),
        (["Hello there/you"], "", "kilo/auto", "Hello there/you"),
        (["openai/gpt-5.4", "--json", "- a list"], "", "openai/gpt-5.4", "- a list"),
        (["https://example.org/x"], "", "kilo/auto", "https://example.org/x"),
        (["/a/path"], "", "kilo/auto", "/a/path"),
        ([], "piped\ntext\n", "kilo/auto", "piped\ntext"),
        (["-"], "piped", "kilo/auto", "piped"),
        (["openai/gpt-5.4"], "piped", "openai/gpt-5.4", "piped"),
        (["kilocode/openai/gpt-5.4"], "piped", "openai/gpt-5.4", "piped"),
        (["openai/gpt-5.4", "-"], "piped", "openai/gpt-5.4", "piped"),
        (["openai/gpt-5.4", "a/b"], "never read", "openai/gpt-5.4", "a/b"),
        (["--", "-x + 3"], "", "kilo/auto", "-x + 3"),
        (["größe 👋"], "", "kilo/auto", "größe 👋"),
    ],
    ids=range(13),
)
def test_how_arguments_are_read(
    gateway: LocalGateway, arguments: list[str], piped: str, model: str, prompt: str
) -> None:
    done = run("chat", *arguments, input=piped)
    assert done.returncode == 0, done.stderr
    served = {"kilo/auto": "kilo-auto/balanced"}.get(model, model)
    assert sent(gateway) == (served, [user(prompt)])


@pytest.mark.parametrize(
    "arguments",
    [
        ["openai/gpt-5.4", "Hi", "--system", "Be brief."],
        ["--system", "Be brief.", "openai/gpt-5.4", "Hi"],
        ["openai/gpt-5.4", "--system", "Be brief.", "-"],
    ],
    ids=range(3),
)
def test_instructions_stand_before_the_prompt(gateway: LocalGateway, arguments: list[str]) -> None:
    assert run("chat", *arguments, input="Hi").returncode == 0
    assert sent(gateway) == ("openai/gpt-5.4", [{"role": "system", "content": "Be brief."}, user("Hi")])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the prompt is empty"),
        (["openai/gpt-5.4"], "'openai/gpt-5.4' alone is read as the MODEL"),
        (["-"], "empty"),
    ],
)
def test_without_a_prompt_nothing_is_sent(gateway: LocalGateway, arguments: list[str], told: str) -> None:
    for more in ({"input": " \n"}, {"stdin": subprocess.DEVNULL}):
        done = run("chat", *arguments, **more)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
    assert gateway.requests == []


@posix
@pytest.mark.parametrize("arguments", [[], ["openai/gpt-5.4"]], ids=range(2))
def test_at_a_terminal_a_prompt_is_asked_for_and_not_waited_for(gateway: LocalGateway, arguments: list[str]) -> None:
    code, shown, told = run_at_a_terminal("chat", *arguments)
    assert (code, shown) == (2, "")
    assert "there is no prompt." in told
    assert gateway.requests == []


@posix
def test_nothing_in_an_answer_steers_the_terminal(gateway: LocalGateway) -> None:
    text = "one\t\x1b[31mred\x07\r 👩\N{ZERO WIDTH JOINER}💻\nend"
    gateway.script(*[Reply.text(text)] * 2)
    code, shown, _ = run_at_a_terminal("chat", "Hi")
    assert code == 0
    assert shown == "one\t\N{REPLACEMENT CHARACTER}[31mred" + "\N{REPLACEMENT CHARACTER}" * 2 + (
        " 👩\N{ZERO WIDTH JOINER}💻\nend\n"
    )
    whole = subprocess.run([sys.executable, "-m", "kilocode_gateway", "chat", "Hi"], capture_output=True, check=True)
    assert whole.stdout == text.encode() + b"\n", "what goes to another program stays as it is"


def test_chat_as_json(gateway: LocalGateway) -> None:
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 7}}
    gateway.script(Reply.text("Hello", reasoning="Hmm.", usage=usage, model="acme/wise"))
    done = run("chat", "Hi", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert told == {
        "model": "acme/wise",
        "requested_model": "kilo/auto",
        "text": "Hello",
        "reasoning": "Hmm.",
        "finish_reason": "stop",
        "usage": {
            "input_tokens": 1200,
            "output_tokens": 34,
            "total_tokens": 1234,
            "reasoning_tokens": 7,
            "cache_read_tokens": None,
        },
        "cost_usd": "0.0000123",
    }
    assert names_in(told) <= keys_in_help("chat")


@pytest.mark.parametrize(
    ("reply", "out", "told"),
    [
        (Reply.text("Hi", usage={}), "Hi\n", "; cost not told\n"),
        (Reply.text("Hi\n", finish_reason="length", usage={}), "Hi\n", "; it ended because of 'length'\n"),
        (Reply.text("", reasoning="Hmm.", usage={}), "", "; it holds no text\n"),
        (Reply.text("", refusal="I must not.", usage={}), "I must not.\n", "; cost not told\n"),
        (
            Reply.text("Hi", usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 9}}),
            "Hi\n",
            "; 1,200 tokens in, 34 out (9 of them reasoning); 0.0000123 USD\n",
        ),
        (Reply.text("Hi", usage={**USAGE, "cost": 0}), "Hi\n", "; 0.00 USD\n"),
    ],
    ids=range(6),
)
def test_answers_of_all_kinds(
    gateway: LocalGateway, capsys: pytest.CaptureFixture[str], reply: Reply, out: str, told: str
) -> None:
    gateway.script(reply)
    assert main(["chat", "openai/gpt-5.4", "Hi"]) == 0
    said = capsys.readouterr()
    assert said.out == out
    assert said.err.startswith("openai/gpt-5.4; ")
    assert said.err.endswith(told)


@posix
def test_the_answer_is_written_as_it_comes_and_an_interrupt_closes_the_connection(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("word " * 400, chunk_delay=0.1))
    process = start("chat", "Hi")
    assert process.stdout is not None
    assert process.stdout.read(4) == "word"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out.count("word") < 300
    assert out.endswith("\n"), "the line is ended, so that the shell's prompt stands on its own"
    assert eventually(lambda: len(gateway.disconnects) == 1)


@posix
@pytest.mark.parametrize("reply", [Reply.ordinary(delay=60), Reply.text("x", delay=60)], ids=range(2))
@pytest.mark.parametrize("arguments", [["Hi"], ["Hi", "--json"]], ids=range(2))
def test_an_interrupt_before_the_first_word_is_clean(gateway: LocalGateway, reply: Reply, arguments: list[str]) -> None:
    gateway.script(reply)
    process = start("chat", *arguments)
    assert eventually(lambda: bool(gateway.requests))
    process.send_signal(signal.SIGINT)
    assert (*process.communicate(timeout=60), process.returncode) == ("", "", 130)
    assert eventually(lambda: len(gateway.disconnects) == 1)


@pytest.mark.skipif(sys.platform != "linux", reason="a pipe that tells how much of it was not read")
def test_an_interrupt_while_the_prompt_is_typed_is_clean(gateway: LocalGateway) -> None:
    import fcntl
    import termios

    process = start("chat", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("half a pro")
    process.stdin.flush()
    pipe = process.stdin.fileno()
    assert eventually(lambda: fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4) == b"\0" * 4), "all was read"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
    assert gateway.requests == []


@posix
def test_a_reader_that_has_enough_ends_the_stream(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("one\n" + "word " * 2000, chunk_delay=0.01))
    command = f"({sys.executable} -m kilocode_gateway chat Hi; echo code $? >&2) | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("one\n", "code 0\n")
    assert eventually(lambda: len(gateway.disconnects) == 1)


def test_a_stream_that_breaks_off_keeps_what_had_arrived_and_is_an_error(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("one two three four " * 20, cut_after=1500))
    done = run("chat", "Hi")
    assert done.returncode == 1
    assert done.stdout.startswith("one")
    assert done.stdout.endswith("\n")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "`text`" not in done.stderr, "that is for programs in Python"


WHOLE = {"stream_without_done"}
"""What is no error: a finish reason proves that the answer is complete."""


@pytest.mark.parametrize("name", sorted(set(Reply.ERRORS) - WHOLE))
def test_every_error_is_one_text_without_a_traceback(
    gateway: LocalGateway, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    gateway.script(*[Reply.error(name, headers={"retry-after": "0"})] * 3)
    assert main(["chat", "anthropic/claude-sonnet-4.6", "Hi"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert KEY not in said.err


def test_an_unknown_model_has_near_names_although_no_list_was_at_hand(gateway: LocalGateway) -> None:
    done = run("chat", "anthropic/claude-sonet-4.6", "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean 'anthropic/claude-sonnet-4.6'" in done.stderr
    assert done.stderr.count("Did you mean") == 1
    again = run("chat", "anthropic/claude-sonet-4.6", "Hi")
    assert again.stderr.count("Did you mean") == 1


def test_a_familys_name_alone_is_told_models_of_it(gateway: LocalGateway) -> None:
    done = run("chat", "claude", "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean 'anthropic/claude-" in done.stderr
    assert "Did you mean" not in run("chat", "nomodel", "Hi").stderr


def test_without_a_key_a_free_model_answers_and_a_paid_one_says_what_to_do(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KILOCODE_API_KEY")
    assert run("chat", "kilo-auto/free", "Hi").returncode == 0
    done = run("chat", "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Set KILOCODE_API_KEY" in done.stderr


def test_input_that_is_no_text_is_no_traceback(gateway: LocalGateway) -> None:
    command = [sys.executable, "-m", "kilocode_gateway", "chat"]
    odd = b"caf\xe9 \x00 \xf0\x9f"
    done = subprocess.run(command, input=odd, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sent(gateway)[1][0]["content"].startswith("caf")
