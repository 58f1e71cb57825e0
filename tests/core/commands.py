"""Runs the command line as its users do: as a process, at a terminal, with a pipe, and interrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

KEY = "test-key-0123456789-wxyz"
COMMAND = [sys.executable, "-m", "kilocode_gateway"]
# In the background of a shell interrupts are ignored by all that is started there.
HEEDING = (
    "import signal as s, sys; s.signal(s.SIGINT, s.default_int_handler); "
    "from kilocode_gateway.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; unless given, its input is empty."""
    settings = {"stdin": subprocess.DEVNULL, "text": True, "encoding": "utf-8", **more}
    if "input" in more:
        del settings["stdin"]
    return subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, timeout=60, **settings)


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    """Start a command that heeds an interrupt wherever the tests run."""
    command = [sys.executable, "-c", HEEDING, *arguments]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, text=True, encoding="utf-8", **{"stdin": subprocess.DEVNULL, **pipes, **more})


def run_at_a_terminal(*arguments: str, columns: int = 80) -> tuple[int, str, str]:
    """Run a command whose input and output are a terminal; give its exit code, output and errors."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns)}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # it has ended
    os.close(ours)
    _, err = process.communicate(timeout=60)
    return process.returncode, shown.decode().replace("\r\n", "\n"), err.decode()


def keys_in_help(command: str) -> set[str]:
    """Give the words that a command's help has below its options."""
    told = run(command, "--help").stdout
    return set(re.findall(r"[a-z_]+", told[told.index("\n--json prints") :]))


def names_in(value: Any) -> set[str]:
    """Give every key of a JSON value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    return set(value).union(*map(names_in, value.values())) if isinstance(value, dict) else set()
