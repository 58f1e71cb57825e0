"""One client's socket: requests are read from it, replies written to it, faults done to it."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

from kilocode_gateway.local.recorded import RecordedRequest

if TYPE_CHECKING:
    import threading

_READ = 65536
_MOST_HEADER_BYTES = 262_144


class ClientGoneError(Exception):
    """The client closed its end, or the server stops."""


class BadRequestError(Exception):
    """What came is no HTTP request."""


class Connection:
    """A connection that stays open for many requests."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self._stopping = stopping
        self._buffer = bytearray()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self) -> RecordedRequest | None:
        """Wait for the next request; None when the client closed instead."""
        head = self._read_until(b"\r\n\r\n")
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            raise BadRequestError
        pairs = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequestError
            pairs.append((name, value.strip()))
        path, _, query = words[1].partition("?")
        request = RecordedRequest(words[0], path, pairs, query=query)
        request.body = self._read_body(request.headers)
        if words[2] == "HTTP/1.0":
            request.headers.setdefault("connection", "close")
        return request

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = bytearray()
            while size := int(self._need_until(b"\r\n").split(b";")[0], 16):
                body += self._need(size)
                self._need(2)
            while self._need_until(b"\r\n"):
                pass
            return bytes(body)
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequestError
        return self._need(int(length))

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(_READ)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def _read_until(self, mark: bytes) -> bytes | None:
        start = 0
        while (end := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark))
            if len(self._buffer) > _MOST_HEADER_BYTES:
                raise BadRequestError
            if not self._receive():
                return None
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    def _need_until(self, mark: bytes) -> bytes:
        found = self._read_until(mark)
        if found is None:
            raise ClientGoneError
        return found

    def _need(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._receive():
                raise ClientGoneError
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def send(self, data: bytes) -> None:
        """Write everything. Raises ClientGoneError when nobody reads any more."""
        try:
            self.sock.sendall(data)
        except OSError:
            raise ClientGoneError from None

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client stays. Raises ClientGoneError when it leaves or the server stops."""
        until = time.monotonic() + seconds
        try:
            self.sock.settimeout(max(seconds, 1e-6))
            waiting = self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return
        except OSError:
            raise ClientGoneError from None
        finally:
            with contextlib.suppress(OSError):
                self.sock.settimeout(None)
        # A request that waits already hides whether the client leaves.
        if not waiting or self._stopping.wait(max(0.0, until - time.monotonic())):
            raise ClientGoneError

    def reset(self) -> None:
        """Close so that the client sees "connection reset by peer"."""
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def half_close(self) -> None:
        """End what is written, and go on listening."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close in good order."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def wake(self) -> None:
        """End whatever another thread waits for on this connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
