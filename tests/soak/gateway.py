"""`python -m tests.soak.gateway`: the local gateway in a process of its own, which answers each request by its marker.

It prints its address; "hang up" on standard input closes all its connections, the end of the input ends it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local import LocalGateway
from tests.soak.fates import FATES, belongings, whole

if TYPE_CHECKING:
    from typing import Self

    from kilocode_gateway.local import RecordedRequest, Reply

_MOST_KEPT = 500


class Answerer:
    """Chooses the reply by what a request says."""

    def __init__(self) -> None:
        self.gateway: LocalGateway | None = None
        self._seen: set[str] = set()

    def __call__(self, request: RecordedRequest) -> Reply | None:
        if request.method != "POST":
            return None
        if self.gateway is not None and len(self.gateway.requests) > _MOST_KEPT:
            self.gateway.clear()
        marker, kind, name = _asked(request.json).split(" ", 2)
        fate = FATES[name]
        if fate.once and marker in self._seen:
            self._seen.remove(marker)
            return whole(kind, belongings(marker))  # type: ignore[arg-type] # a kind by its name
        if fate.once:
            self._seen.add(marker)
        return fate.reply(kind, belongings(marker))  # type: ignore[arg-type] # a kind by its name


def _asked(body: Any) -> str:
    if "input" in body:
        text: str = body["input"][0]
        return text
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def serve() -> None:
    """Serve until the standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answerer = Answerer()
    with LocalGateway(port=port, answer=answerer) as gateway:
        answerer.gateway = gateway
        sys.stdout.write(f"{gateway.base_url}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            if line == "hang up\n":
                gateway.stop()
                gateway.start()
                sys.stdout.write("hung up\n")
                sys.stdout.flush()


class GatewayProcess:
    """That process, seen from the client; use it in a `with` statement."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.soak.gateway"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base_url = self._line()

    def hang_up(self) -> None:
        """Close all its connections."""
        assert self._process.stdin is not None
        self._process.stdin.write("hang up\n")
        self._process.stdin.flush()
        assert self._line() == "hung up"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=20)


if __name__ == "__main__":
    serve()
