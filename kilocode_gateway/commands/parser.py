"""What the commands take, and what their help says. Nothing here loads more than argparse."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kilocode_gateway._version import __version__
from kilocode_gateway.commands.terminal import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

_PORTS = 65_536

_EXIT_CODES = """\
exit codes:
  0    all went well, or the reader of the output has had enough (as with | head)
  1    the gateway, the network or a setting is at fault, nothing was found, or the doctor found a fault;
       one text on standard error says what to do
  2    a wrong command or argument: nothing was sent
  130  ^C
"""
_ABOUT_ALL = f"""\
environment:
  KILOCODE_API_KEY, then KILO_API_KEY              the key (from your profile at app.kilo.ai); without one only
                                                   free models answer
  KILOCODE_BASE_URL                                the address, if not the public gateway's
  KILOCODE_ORGANIZATION_ID, then KILO_ORG_ID       the organization that is billed
  KILOCODE_FEATURE                                 what the gateway's usage page calls the program
  KILOCODE_CACHE_DIR                               where the list of models is kept

{_EXIT_CODES}"""
_MODEL_KEYS = """\
id, name, description, created, expires, preferred_index,
context_window, max_output_tokens, input_modalities, output_modalities, supported_parameters, reasoning_efforts,
pricing (input, output, cache_read, cache_write, reasoning, image, request, web_search: texts, or null where unknown),
is_free, is_paid, may_train_on_prompts, supports_vision, supports_pdf, supports_audio, supports_video,
supports_tools, supports_tool_choice, supports_structured_output, supports_json_mode, supports_reasoning\
"""
_ABOUT_MODELS = f"""\
Prices are in USD per million tokens. The list is fetched once and kept for six hours.

--json prints a list of objects with the keys
{_MODEL_KEYS}.

"""
_ABOUT_SHOW = f"""\
--json prints an object with the keys of `models --json`:
{_MODEL_KEYS};
routed_models, the ids among which an auto model chooses; and endpoints, null where the gateway does not tell, else
a list of objects with the keys provider, tag, quantization, context_window, max_output_tokens, pricing and uptime
(percent of the last half hour).

"""
_ABOUT_CHAT = """\
one argument:
  A single argument is the PROMPT, and MODEL is kilo/auto, which lets the gateway choose. A single argument that looks
  like a model, with a slash inside and no blanks (vendor/name), is the MODEL. Give both to be sure.
  Without a PROMPT, or where it is -, the prompt is read from standard input: chat vendor/name <prompt.txt

The answer goes to standard output as it comes; its reasoning does not. Then the model that answered, the tokens and the
cost go to standard error.

--json prints an object with the keys model (the one that answered), requested_model, text, reasoning, finish_reason,
usage (null, or input_tokens, output_tokens, total_tokens, reasoning_tokens and cache_read_tokens) and cost_usd (a text,
or null where it was not told), once the answer is whole.

"""
_ABOUT_CACHE = """\
--json prints an object with the keys folder and lists (after clear: removed), a list of objects with the keys path,
base_url, organization_id, models, fetched (seconds since 1970), is_fresh and bytes; null for what cannot be read.

"""


class _Parser(argparse.ArgumentParser):
    """A parser that keeps the layout of the texts below the options, and takes options by their whole names only."""

    def __init__(self, *, about: str = "", **settings: object) -> None:
        super().__init__(
            epilog=about + ("" if about.endswith(_EXIT_CODES) else _EXIT_CODES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,  # type: ignore[arg-type]  # argparse's own
        )


def read(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments: `command` names the module that runs, `parser` tells what is wrong with them.

    Raises:
        SystemExit: If they are wrong (2), or ask for help or the version (0).

    """
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    takes_more = hasattr(arguments, "words") and not any(map(_is_option, rest))
    if rest and not takes_more:
        arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}{_hint(arguments.parser, rest)}")
    if rest:
        # argparse takes the words before the first option only.
        arguments.words += rest
    return arguments


def _hint(parser: _Parser, rest: list[str]) -> str:
    """Name the option that the first unknown one begins, or looks like."""
    from difflib import get_close_matches

    name = next(filter(_is_option, rest), "").partition("=")[0]
    known = list(parser._option_string_actions)  # noqa: SLF001 - argparse has no public list of them
    begun = [option for option in known if name.strip("-") and option.startswith(name)]
    near = begun or get_close_matches(name, known, 1)
    return f".{did_you_mean(near)}" if near else ""


def _is_option(word: str) -> bool:
    # A prompt may begin with a dash: a list, say.
    return word.startswith("-") and word != "-" and not any(map(str.isspace, word))


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m kilocode_gateway", description="The Kilo Gateway from the command line.", about=_ABOUT_ALL
    )
    parser.add_argument("--version", action="version", version=f"kilocode-gateway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add in (_add_models, _add_show, _add_chat, _add_balance, _add_doctor, _add_cache, _add_serve):
        add(commands)
    return parser


_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _add(commands: _Commands[_Parser], name: str, summary: str, description: str, about: str = "") -> _Parser:
    command = commands.add_parser(name, help=summary, description=description, about=about)
    command.set_defaults(parser=command)
    return command


def _add_json(command: _Parser, what: str) -> None:
    command.add_argument("--json", action="store_true", help=f"print {what} as JSON; its keys are named below")


def _add_models(commands: _Commands[_Parser]) -> None:
    models = _add(
        commands, "models", "list the models that the gateway offers", "List the gateway's models.", _ABOUT_MODELS
    )
    models.add_argument("words", nargs="*", help="only models whose id, name or description has all these words")
    models.add_argument("--free", action="store_true", default=None, help="only free models")
    models.add_argument("--vision", action="store_true", default=None, help="only models that see images")
    models.add_argument("--tools", action="store_true", default=None, help="only models that call tools")
    models.add_argument("--reasoning", action="store_true", default=None, help="only models that reason")
    models.add_argument(
        "--min-context",
        type=_tokens,
        metavar="TOKENS",
        help="only models with at least this context window: 128000, 200k or 1m",
    )
    models.add_argument(
        "--sort", choices=["price", "context", "name"], help="the order; the gateway's own unless given"
    )
    _add_json(models, "a list with every known fact")
    models.add_argument("--refresh", action="store_true", help="fetch the list even when a fresh one is at hand")


def _add_show(commands: _Commands[_Parser]) -> None:
    show = _add(
        commands,
        "show",
        "tell everything that is known of a model",
        "Tell everything that is known of a model, and who serves it at which price, where the gateway tells.",
        _ABOUT_SHOW,
    )
    show.add_argument("model", metavar="MODEL", help="an id, such as kilo/auto or anthropic/claude-sonnet-4.6")
    _add_json(show, "every known fact")
    show.add_argument("--refresh", action="store_true", help="fetch the list even when a fresh one is at hand")


def _add_chat(commands: _Commands[_Parser]) -> None:
    chat = _add(commands, "chat", "ask a model", "Ask a model, and print its answer as it comes.", _ABOUT_CHAT)
    chat.usage = "%(prog)s [-h] [--system TEXT] [--json] [MODEL] [PROMPT]"
    chat.add_argument("words", nargs="*", metavar="MODEL PROMPT", help="the model (kilo/auto) and what to ask it")
    chat.add_argument("--system", metavar="TEXT", help="instructions that stand before the prompt")
    _add_json(chat, "the answer, its reasoning, tokens and cost")


def _add_balance(commands: _Commands[_Parser]) -> None:
    balance = _add(
        commands,
        "balance",
        "tell what is left on the account",
        "Tell what is left on the account, or on the organization's where one is set. It needs a key.",
        "--json prints an object with the keys balance_usd (a text, or null where it was not told), is_depleted and "
        "organization_id.\n\n",
    )
    _add_json(balance, "the balance")


def _add_doctor(commands: _Commands[_Parser]) -> None:
    doctor = _add(
        commands,
        "doctor",
        "find out why requests fail",
        "Check settings, key, address, model list, cache, account, organization, balance and versions.",
        "--json prints a list of objects with the keys about, ok (true, false, or null for a plain fact) and text.\n\n",
    )
    _add_json(doctor, "the findings")


def _add_cache(commands: _Commands[_Parser]) -> None:
    about = "Tell where the lists of models are kept, how old and how large they are; or remove them all."
    cache = _add(commands, "cache", "tell what is kept on disk, or remove it", about, _ABOUT_CACHE)
    cache.add_argument("action", nargs="?", choices=["clear"], help="remove every list, and tell which those were")
    _add_json(cache, "what is kept")


def _add_serve(commands: _Commands[_Parser]) -> None:
    serve = _add(
        commands,
        "serve",
        "run the local gateway",
        "Run the local gateway, for trying things and for tests, until ^C. It is no model.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8787, help="the port (default 8787; 0 for any that is free)")
    serve.add_argument(
        "--dialect", choices=["newest", "february"], default="newest", help="which age of the gateway it speaks like"
    )
    serve.add_argument("--log", action="store_true", help="print a line for each request")


def _tokens(text: str) -> int:
    scale = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        tokens = int(float(text[:-1] if scale > 1 else text) * scale)
    except (ValueError, OverflowError):
        tokens = -1
    if tokens < 0:
        message = f"expected a number of tokens such as 128000, 200k or 1m, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return tokens


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < _PORTS:
        return int(text)
    message = f"expected a port from 0 to {_PORTS - 1}, got {text!r}"
    raise argparse.ArgumentTypeError(message)
