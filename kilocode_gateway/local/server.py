"""The local gateway's server: threads on loopback, scripted replies, a record of everything that came."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.connection import BadRequestError, ClientGoneError, Connection
from kilocode_gateway.local.faults import NO_FAULTS, Faults, Rendered, deliver
from kilocode_gateway.local.routes import BASES, Dialect, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from kilocode_gateway.local.recorded import RecordedRequest
    from kilocode_gateway.local.reply import Reply

_BACKLOG = 512
_STOP_SECONDS = 5.0


class LocalGateway:
    """A gateway on loopback, for tests and for trying things without a key. It answers by rule and is no model.

    It finds the matching sentence of a context, fills schemas, calls tools, embeds texts as bags of words, and gives
    exactly what a test scripts. Use it in a `with` statement, or call `start` and `stop`.

    Args:
        port: Where to listen; 0 for any free port.
        host: The address to listen on.
        api_keys: The keys that it accepts; any unless given.
        dialect: "newest", or "february" for the gateway of early 2026, which knows kilo/auto and has no embeddings.
        models: Entries of GET models instead of its own.
        tokens_per_second: How fast it streams words; as fast as it can unless given.
        delay: Seconds before each answer.
        balance: US dollars on the account; at 0 or below paid models answer 402.
        answer: Gives the reply to each request for which none is scripted, or None for the ordinary one. It is called
            in the thread of the request's connection, so in several at once.

    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        api_keys: Iterable[str] | None = None,
        dialect: Dialect = "newest",
        models: Sequence[Mapping[str, Any]] | None = None,
        tokens_per_second: float | None = None,
        delay: float = 0.0,
        balance: float = 25.0,
        answer: Callable[[RecordedRequest], Reply | None] | None = None,
    ) -> None:
        if dialect not in ("newest", "february"):
            raise ValueError(f'expected the dialect "newest" or "february", got {dialect!r}')
        keys = None if api_keys is None else tuple(api_keys)
        self.api_key = keys[0] if keys else "local-key"
        """A key that it accepts."""
        self.requests: list[RecordedRequest] = []
        """Every request, in the order in which they came."""
        self.disconnects: list[RecordedRequest] = []
        """Those whose client left before the answer was all written."""
        self.connections = 0
        """How many connections clients have opened."""
        self.on_request: Callable[[RecordedRequest, int], None] | None = None
        """Called with each request and the status of its answer."""
        self._gateway = Gateway(dialect, None if keys is None else frozenset(keys), balance, models)
        self._tokens_per_second = tokens_per_second
        self._delay = delay
        self._answer = answer
        self._host, self._wanted_port = host, port
        self._lock = threading.Lock()
        self._scripts: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._open: dict[Connection, threading.Thread] = {}
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def __repr__(self) -> str:
        state = f"at {self.base_url}" if self._listener else "stopped"
        return f"<LocalGateway {state}, dialect {self._gateway.dialect!r}, {len(self.requests)} requests>"

    @property
    def port(self) -> int:
        """The port that it listens on. Raises RuntimeError before it is started."""
        if self._listener is None:
            raise RuntimeError("expected a running LocalGateway: use it in a with statement, or call start() first")
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def base_url(self) -> str:
        """What a client's base URL has to be."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}{BASES[0]}"

    @property
    def chat_requests(self) -> list[RecordedRequest]:
        """The requests to chat/completions."""
        return [request for request in list(self.requests) if request.path.endswith("chat/completions")]

    @property
    def last_request(self) -> RecordedRequest:
        """The latest request. Raises IndexError when none came."""
        return self.requests[-1]

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    def script(self, *replies: Reply, path: str | None = None) -> None:
        """Give these replies to the next requests, in order; after them the ordinary behaviour comes again.

        Args:
            *replies: What to answer, made by `Reply`.
            path: Where: "models", "embeddings", "/api/fim/completions", ...; unless given, the next POSTs of any path.

        """
        with self._lock:
            self._scripts["POST" if path is None else self._script_key(path)].extend(replies)

    @property
    def scripted(self) -> int:
        """How many scripted replies wait."""
        with self._lock:
            return sum(map(len, self._scripts.values()))

    def clear(self) -> None:
        """Forget the requests, the disconnects and the scripted replies."""
        with self._lock:
            self._scripts.clear()
            self.requests.clear()
            self.disconnects.clear()

    def start(self) -> Self:
        """Listen; in a running gateway nothing happens."""
        if self._listener is None:
            self._stopping.clear()
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, self._wanted_port), family=family, backlog=_BACKLOG)
            self._acceptor = threading.Thread(
                target=self._accept, args=(self._listener,), name="local-gateway", daemon=True
            )
            self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close every connection and end every thread; in a stopped gateway nothing happens."""
        if self._listener is None:
            return
        self._stopping.set()
        # A connection of our own ends the waiting for one on every platform.
        with contextlib.suppress(OSError), socket.create_connection((self._host, self.port), timeout=1):
            pass
        if self._acceptor is not None:
            self._acceptor.join(_STOP_SECONDS)
        self._listener.close()
        self._listener = self._acceptor = None
        with self._lock:
            still = list(self._open.items())
        for connection, _ in still:
            connection.wake()
        until = time.monotonic() + _STOP_SECONDS
        for _, thread in still:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if self._stopping.is_set():
                sock.close()
                return
            connection = Connection(sock, self._stopping)
            thread = threading.Thread(target=self._serve, args=(connection,), name="local-gateway-client", daemon=True)
            with self._lock:
                self.connections += 1
                self._open[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        """Answer one client's requests until either end closes."""
        try:
            while self._serve_one(connection):
                pass
        except (ClientGoneError, BadRequestError):
            pass
        finally:
            connection.close()
            with self._lock:
                del self._open[connection]

    def _serve_one(self, connection: Connection) -> bool:
        try:
            request = connection.read_request()
        except (BadRequestError, ValueError):
            deliver(connection, Rendered(400), Faults(close=True))
            return False
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            scripted = self._next_script(request)
        reply, faults = self._reply(request, scripted)
        if self.on_request is not None:
            self.on_request(request, reply.status)
        if request.method == "HEAD":
            faults = Faults(headers={"content-length": str(sum(map(len, reply.pieces)))})
            reply.pieces.clear()
        try:
            keep_open = deliver(connection, reply, faults)
        except ClientGoneError:
            if not self._stopping.is_set():
                self.disconnects.append(request)
            return False
        return keep_open and request.headers.get("connection", "").lower() != "close"

    def _script_key(self, path: str) -> str:
        relative = self._gateway.relative(path) if path.startswith("/") else path
        return path if relative is None else relative

    def _next_script(self, request: RecordedRequest) -> Reply | None:
        for key in (self._script_key(request.path), request.method):
            if self._scripts.get(key):
                return self._scripts[key].popleft()
        return None

    def _reply(self, request: RecordedRequest, scripted: Reply | None) -> tuple[Rendered, Faults]:
        """Give the reply, and how it is to be written; a failure of our own is told to client and terminal."""
        try:
            if scripted is None and self._answer is not None:
                scripted = self._answer(request)
            if scripted is not None and scripted.render is not None:
                return scripted.render(self._gateway.context(request)), scripted.faults
            reply = self._gateway.reply(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not wait for an answer for ever
            sys.stderr.write(f"LocalGateway failed on {request!r}: {error!r}\n")
            return Rendered(
                500, {"content-type": "text/plain"}, [f"LocalGateway failed: {error!r}".encode()]
            ), NO_FAULTS
        return reply, scripted.faults if scripted else self._pace(reply)

    def _pace(self, reply: Rendered) -> Faults:
        if not self._delay and self._tokens_per_second is None:
            return NO_FAULTS
        return Faults(
            delay=self._delay,
            chunk_delay=1 / self._tokens_per_second if self._tokens_per_second and reply.streams else None,
        )
