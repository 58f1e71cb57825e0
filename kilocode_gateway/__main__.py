"""The command line: `python -m kilocode_gateway models`, `doctor` and `serve`."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from kilocode_gateway._version import __version__
from kilocode_gateway.errors import KiloCodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilocode_gateway.models import ModelInfo

_EXIT_OK, _EXIT_ERROR, _EXIT_USAGE, _EXIT_INTERRUPTED = 0, 1, 2, 130
_LEAST_ID = 12
"""Columns that an id keeps, however narrow the terminal is."""
_ENDLESS = 10_000
_PORTS = 65_536


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 when all went well, 1 for an error that is told on standard error, 2 for wrong arguments,
        130 for ^C.

    """
    arguments = _arguments(argv)
    _prepare_output()
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KiloCodeError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough. Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_OK
    return code


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "words") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        # argparse takes the words before the first option only.
        arguments.words += rest
    return arguments


def _prepare_output() -> None:
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            # It was closed before the program began.
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            # An id may hold a letter that the terminal's encoding lacks.
            stream.reconfigure(errors="replace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kilocode_gateway", description="The Kilo Gateway from the command line."
    )
    parser.add_argument("--version", action="version", version=f"kilocode-gateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    models = commands.add_parser(
        "models", help="list the models that the gateway offers", description="List the gateway's models."
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
        help="only models with at least this context window: 200000 or 200k",
    )
    models.add_argument(
        "--sort", choices=["price", "context", "name"], help="the order; the gateway's own unless given"
    )
    models.add_argument("--json", action="store_true", help="print a JSON list with every known fact")
    models.add_argument("--refresh", action="store_true", help="fetch the list even when a fresh one is at hand")
    models.set_defaults(run=_models)
    doctor = commands.add_parser(
        "doctor", help="find out why requests fail", description="Check key, address, account and versions."
    )
    doctor.set_defaults(run=_doctor)
    serve = commands.add_parser(
        "serve",
        help="run the local gateway",
        description="Run the local gateway, for trying things and for tests. It is no model.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8787, help="the port (default 8787; 0 for any that is free)")
    serve.add_argument(
        "--dialect", choices=["newest", "february"], default="newest", help="which age of the gateway it speaks like"
    )
    serve.add_argument("--log", action="store_true", help="print a line for each request")
    serve.set_defaults(run=_serve)
    return parser


def _tokens(text: str) -> int:
    scale = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        return int(float(text[:-1] if scale > 1 else text) * scale)
    except (ValueError, OverflowError):
        message = f"expected a number of tokens such as 200000, 200k or 1m, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < _PORTS:
        return int(text)
    message = f"expected a port from 0 to {_PORTS - 1}, got {text!r}"
    raise argparse.ArgumentTypeError(message)


def _models(arguments: argparse.Namespace) -> int:
    from kilocode_gateway.catalog import Catalog

    catalog = Catalog.discover(refresh=arguments.refresh)
    found = catalog.find(
        text=" ".join(arguments.words) or None,
        free=arguments.free,
        vision=arguments.vision,
        tools=arguments.tools,
        reasoning=arguments.reasoning,
        min_context=arguments.min_context,
        sort=arguments.sort,
    )
    if arguments.json:
        # Escaped, so that it is the same and whole in every encoding.
        print(json.dumps([info.to_dict() for info in found], indent=2))
        return _EXIT_OK
    if not found:
        near = catalog.nearest(" ".join(arguments.words)) if arguments.words else []
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        print(f"None of the {len(catalog)} models fits.{hint}", file=sys.stderr)
        return _EXIT_ERROR
    # What goes to a file or to another program is not cut.
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else _ENDLESS
    for line in _table(found, columns):
        print(line)
    print(f"{len(found)} of {len(catalog)} models, from {catalog.source}", file=sys.stderr)
    return _EXIT_OK


def _table(models: Sequence[ModelInfo], columns: int) -> list[str]:
    """Lay models out in lines that fit: ids are shortened first, then the last columns are left out."""
    cells = [("model", "context", "USD/M in", "USD/M out", "can")]
    cells += [_cells(info) for info in models]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    shown = len(widths)
    while shown > 1 and _LEAST_ID + sum(2 + width for width in widths[1:shown]) > columns:
        shown -= 1
    room = max(1, min(widths[0], columns - sum(2 + width for width in widths[1:shown])))
    lines = []
    for id_, *rest in cells:
        name = id_ if len(id_) <= room else id_[: room - 1] + "…"
        numbers = [f"  {text:>{width}}" for text, width in zip(rest[:3], widths[1:4], strict=True)]
        parts = [f"{name:<{room}}", *numbers, f"  {rest[3]}"]
        lines.append("".join(parts[:shown]).rstrip())
    return lines


def _cells(info: ModelInfo) -> tuple[str, str, str, str, str]:
    able = {"tools": info.supports_tools, "images": info.supports_vision, "reasoning": info.supports_reasoning}
    context = "?" if info.context_window is None else f"{info.context_window:,}"
    # An id comes from outside: nothing in it may steer the terminal.
    id_ = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in info.id)
    return (id_, context, _price(info, "input"), _price(info, "output"), " ".join(word for word in able if able[word]))


def _price(info: ModelInfo, side: str) -> str:
    price = getattr(info.pricing, side)
    if info.is_free:
        return "free"
    if price is None:
        return "varies"
    # A small price is not rounded away.
    return f"{price:.2f}" if price == round(price, 2) else f"{float(price):.3g}"


def _doctor(_arguments: argparse.Namespace) -> int:
    from kilocode_gateway.doctor import examine

    healthy = True
    for finding in examine():
        mark = {True: "ok  ", False: "FAIL", None: "    "}[finding.ok]
        print(f"{mark} {finding.text}")
        healthy = healthy and finding.ok is not False
    return _EXIT_OK if healthy else _EXIT_ERROR


def _serve(arguments: argparse.Namespace) -> int:
    from kilocode_gateway import local

    serve: Any = local.run
    try:
        serve(host=arguments.host, port=arguments.port, dialect=arguments.dialect, log=arguments.log)
    except OSError as exc:
        reason = exc.strerror or exc
        print(
            f"error: cannot listen on {arguments.host} port {arguments.port}: {reason}. Choose another --port.",
            file=sys.stderr,
        )
        return _EXIT_ERROR
    return _EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
