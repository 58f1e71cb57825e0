"""`doctor`: why requests fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilocode_gateway.commands.terminal import FAILED, OK, plain, write_json
from kilocode_gateway.doctor import examine

if TYPE_CHECKING:
    import argparse

_MARKS = {True: "ok  ", False: "FAIL", None: "    "}


def run(arguments: argparse.Namespace) -> int:
    """Tell each finding as soon as it is there."""
    healthy, told = True, []
    for finding in examine():
        healthy = healthy and finding.ok is not False
        if arguments.json:
            told.append({"about": finding.about, "ok": finding.ok, "text": finding.text})
        else:
            print(f"{_MARKS[finding.ok]} {finding.about}: {plain(finding.text)}", flush=True)
    if arguments.json:
        write_json(told)
    return OK if healthy else FAILED
