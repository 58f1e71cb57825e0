"""A client of plain sockets for the local gateway's tests: what it reads is what was on the wire."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

CHAT = "/api/gateway/chat/completions"
MODEL = "anthropic/claude-sonnet-4.6"


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event, [DONE] as text."""
        lines = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices", ())
        )


def request(gateway: LocalGateway, method: str, path: str, body: Any = None, **headers: str) -> Got:
    """Send one request over a connection of its own, with a key unless told otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        named = {
            "authorization": f"Bearer {gateway.api_key}",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        connection.request(method, path, data, {name: value for name, value in named.items() if value})
        answer = connection.getresponse()
        return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def chat(
    gateway: LocalGateway, user: Any = "Hello", *, path: str = CHAT, authorization: str | None = None, **fields: Any
) -> Got:
    """Send a chat request; `user` is a text or the messages."""
    messages = user if isinstance(user, list) else [{"role": "user", "content": user}]
    headers = {} if authorization is None else {"authorization": authorization}
    return request(gateway, "POST", path, {"model": MODEL, "messages": messages, **fields}, **headers)


def raw(
    gateway: LocalGateway, body: bytes = b'{"model": "a/b", "messages": []}', *, timeout: float = 10, path: str = CHAT
) -> tuple[bytes, str]:
    """Send a chat request and read all bytes until the end; say how it came: closed, reset or silence."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout) as sock:
        sock.sendall(head + body)
        found = b""
        while True:
            try:
                data = sock.recv(65536)
            except TimeoutError:
                return found, "silence"
            except ConnectionResetError:
                return found, "reset"
            if not data:
                return found, "closed"
            found += data


def body_of(answer: bytes) -> bytes:
    """Undo the chunks of an answer as far as they came."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return rest
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body
