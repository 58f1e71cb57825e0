"""What must not grow: memory, descriptors, threads. What must not be said: warnings, errors that nobody got."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Self

_DESCRIPTORS = Path("/proc/self/fd")
_STATUS = Path("/proc/self/status")
_MOST_KEPT = 50
_SETTLE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What this process holds; 0 where the system does not tell."""

    kilobytes: int
    descriptors: int
    threads: int

    @classmethod
    def take(cls) -> Reading:
        """Read it now."""
        status = _STATUS.read_text(encoding="ascii") if _STATUS.exists() else "VmRSS: 0 kB"
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        open_now = len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0
        return cls(int(resident.split()[1]), open_now, threading.active_count())

    @classmethod
    def settled(cls) -> Reading:
        """Read it when all that was on its way out is gone: when nothing has become less for a second."""
        least, since, begun = cls.take(), time.monotonic(), time.monotonic()
        while time.monotonic() - since < 1 and time.monotonic() - begun < _SETTLE_SECONDS:
            time.sleep(0.05)
            gc.collect()
            now = cls.take()
            if (now.descriptors, now.threads) < (least.descriptors, least.threads) or now.threads < least.threads:
                least, since = now, time.monotonic()
        _trim()
        return cls.take()


def _trim() -> None:
    """Give memory that is free back to the system, where the C library can."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


class Watch(logging.Handler):
    """Keeps every warning, every error that no caller got, and what asyncio logs; a context manager."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.kept: list[str] = []
        self._earlier: list[Callable[[], None]] = []

    def note(self, what: str) -> None:
        """Keep one."""
        self.count += 1
        if len(self.kept) < _MOST_KEPT:
            self.kept.append(what)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was logged."""
        self.note(f"logged by {record.name}: {record.getMessage()}")

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep what an event loop has nobody to tell."""
        loop.set_exception_handler(lambda _loop, context: self.note(f"event loop: {context}"))

    def __enter__(self) -> Self:
        # What others have left behind is told to them, not here.
        gc.collect()
        caught = warnings.catch_warnings()
        caught.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, filename, lineno, *_: self.note(
            f"{category.__name__}: {message} ({filename}:{lineno})"
        )
        unraisable, thread_hook = sys.unraisablehook, threading.excepthook
        sys.unraisablehook = lambda given: self.note(f"unraisable: {given.exc_value!r} in {given.object!r}")
        threading.excepthook = lambda given: self.note(f"thread {given.thread}: {given.exc_value!r}")
        logs = [logging.getLogger(name) for name in ("asyncio", "kilocode_gateway", "langchain_kilocode")]
        for log in logs:
            log.addHandler(self)

        def put_back() -> None:
            sys.unraisablehook, threading.excepthook = unraisable, thread_hook
            for log in logs:
                log.removeHandler(self)
            caught.__exit__(None, None, None)

        self._earlier.append(put_back)
        return self

    def __exit__(self, *_: object) -> None:
        gc.collect()
        self._earlier.pop()()
