"""Finds the line of the user's own code that a warning is about."""

from __future__ import annotations

import inspect
import sysconfig

_OURS = ("kilocode_gateway", "langchain_kilocode", "llama_index_kilocode")
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def users_level() -> int:
    """Give the `stacklevel` with which the caller's warning names the user's line.

    That is the nearest line that is neither ours nor installed: frameworks stand between. Where there is none, as in a
    framework's own task or thread, it is the nearest that is not ours.
    """
    nearest = None
    level, frame = 0, inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _OURS:
            nearest = nearest or level
            if not frame.f_code.co_filename.startswith((*_INSTALLED, "<frozen")):
                return level
        level, frame = level + 1, frame.f_back
    return nearest or 1
