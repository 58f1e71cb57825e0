"""The local gateway as a program of its own, for clients in any language."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from kilocode_gateway.local.recorded import mask
from kilocode_gateway.local.server import LocalGateway

if TYPE_CHECKING:
    from types import FrameType

    from kilocode_gateway.local.recorded import RecordedRequest
    from kilocode_gateway.local.routes import Dialect


def run(host: str = "127.0.0.1", port: int = 8787, dialect: Dialect = "newest", *, log: bool = False) -> None:
    """Serve until ^C or SIGTERM.

    Args:
        host: The address to listen on.
        port: The port; 0 for any free one.
        dialect: See `LocalGateway`.
        log: Whether to print a line for each request, keys masked.

    Raises:
        OSError: The port is taken.

    """
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    earlier = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with LocalGateway(host=host, port=port, dialect=dialect) as gateway:
            if log:
                gateway.on_request = _log
            _say(
                f"A local gateway at {gateway.base_url} answers by rule and is no model. Point a program at it with\n"
                f"export KILOCODE_BASE_URL={gateway.base_url}\n"
                f"export KILOCODE_API_KEY={gateway.api_key}"
            )
            # With a time limit the wait can be interrupted on every platform.
            while not stop.wait(0.5):
                pass
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _log(request: RecordedRequest, status: int) -> None:
    _say(f"{request.method} {mask(request.path)} {status} {len(request.body)} bytes")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
