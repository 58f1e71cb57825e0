"""The command line: `python -m kilocode_gateway models`, `show`, `chat`, `balance`, `doctor`, `cache` and `serve`."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from kilocode_gateway.commands import parser
from kilocode_gateway.commands.terminal import FAILED, OK, say
from kilocode_gateway.errors import KiloCodeError, where_text_is

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 when all went well, 1 for an error that is told on standard error, 130 for ^C.

    Raises:
        SystemExit: With 2 for wrong arguments, with 0 where help was asked for.

    """
    _prepare_streams()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough.
        return OK
    except OSError as exc:
        say(f"error: {exc.strerror or exc}")
        return FAILED
    finally:
        _let_go_of_broken_streams()


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser.read(argv)
    command = importlib.import_module(f"kilocode_gateway.commands.{arguments.command}")
    try:
        code: int = command.run(arguments)
    except KiloCodeError as exc:
        # What had arrived of an answer was written, or is of no use.
        say(f"error: {str(exc).replace(where_text_is(exc.text), '')}")
        return FAILED
    return code


def _prepare_streams() -> None:
    for name in ("stdin", "stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            # It was closed before the program began.
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            # A text may hold a letter that the terminal's encoding lacks.
            stream.reconfigure(errors="replace")


def _let_go_of_broken_streams() -> None:
    """Send to nowhere what cannot be written: Python would complain of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
