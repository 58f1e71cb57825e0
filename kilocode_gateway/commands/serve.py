"""`serve`: the local gateway as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilocode_gateway import local
from kilocode_gateway.commands.terminal import FAILED, OK, say

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Serve until ^C or SIGTERM."""
    try:
        local.run(host=arguments.host, port=arguments.port, dialect=arguments.dialect, log=arguments.log)
    except OSError as exc:
        where = f"{arguments.host} port {arguments.port}"
        say(f"error: cannot listen on {where}: {exc.strerror or exc}. Choose another --port.")
        return FAILED
    return OK
