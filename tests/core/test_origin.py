"""The key goes to the configured origin only: addresses, paths, headers, proxies, redirects, certificates."""

from __future__ import annotations

import ast
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kilocode_gateway
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import ConfigurationError, ConnectionFailedError, RedirectRefusedError
from kilocode_gateway.local import Reply
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, KEY, transport_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://api.kilo.ai@evil.example/", "credentials"),
        ("https://api.kilo.ai\\@evil.example/", "credentials"),
        ("https://evil.example\\@api.kilo.ai/", "credentials"),
        ("http://localhost@evil.example/", "credentials"),
        ("https://@api.kilo.ai/", "credentials"),
        ("https://api.kilo.ai\\.evil.example/", "with a host"),
        ("https://api.kilo.ai/api\\..\\evil/", "with a host"),
        ("https:/api.kilo.ai/", "with a host"),
        ("https:api.kilo.ai", "with a host"),
        ("//api.kilo.ai/", "with a host"),
        ("https://api.kilo.ai\t/x", "with a host"),
        ("https://api.kilo.ai\x00.evil.example/", "with a host"),
        ("https://api.kilo.ai\r\nX-Evil: 1/", "with a host"),
        ("https://api.kilo.ai\u200b/", "with a host"),
        ("file:///etc/hosts", "with a host"),
        ("https://api.kilo.ai:0/", "with a host"),
        ("https://api.kilo.ai?.evil.example/", "no query"),
        ("https://api.kilo.ai/?", "no query"),
        ("https://api.kilo.ai/#", "no query and no fragment"),
        ("http://localhost#@evil.example/", "no query and no fragment"),
        ("https://\u0430pi.kilo.ai/", "plain ASCII"),
        ("https://api\u3002kilo.ai/", "plain ASCII"),
        ("https://\uff41pi.kilo.ai/", "plain ASCII"),
        ("https://b\u00fccher.example/", "xn--"),
        ("https://api.kilo.ai./", "without a dot at its end"),
        ("http://localhost./", "without a dot at its end"),
        ("https://api.kilo.ai%40evil.example/", "plain ASCII"),
        ("https://api.kilo.ai;evil.example/", "plain ASCII"),
        ("https://api.kilo.ai,evil.example/", "plain ASCII"),
        ("https://a..b/", "plain ASCII"),
        ("https://-a.example/", "plain ASCII"),
        ("https://api.kilo.ai:/", "plain ASCII"),
        ("https://[::1]evil.example/", "plain ASCII"),
        ("https://[1::2::3]/", "host"),
        ("http://[fe80::1%25eth0]/", "plain ASCII"),
        ("http://[2001:db8::1]/", "not encrypted"),
        ("http://0.0.0.0/", "not encrypted"),
        ("http://2130706433/", "not encrypted"),
        ("http://127.1/", "not encrypted"),
        ("http://0x7f.0.0.1/", "not encrypted"),
        ("http://localhost.evil.example/", "not encrypted"),
    ],
)
def test_addresses_that_programs_may_read_otherwise_are_refused(address: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        GatewayConfig.resolve(api_key=KEY, base_url=address)
    assert "https://" in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["https://[2001:db8::1]:8443/x/", "https://xn--bcher-kva.example/", "https://a_b.example/", "http://LOCALHOST/"],
)
def test_plain_addresses_are_taken(address: str) -> None:
    assert GatewayConfig.resolve(base_url=address).base_url == address


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example/x", "/@evil.example/", "@evil.example", "../../x"]
)
def test_no_path_leads_to_another_host(path: str) -> None:
    import httpx2

    config = GatewayConfig.resolve(base_url="https://host.example:8443/api/gateway")
    assert httpx2.URL(config.url(path)).netloc == b"host.example:8443"


@pytest.mark.parametrize("name", ["Host", "host", ":authority", "Location"])
async def test_no_header_moves_the_key(
    gateway: LocalGateway, make_gateway: Callable[..., LocalGateway], ask: Ask, name: str
) -> None:
    other = make_gateway()
    try:
        transport = transport_to(gateway, headers={name: f"127.0.0.1:{other.port}"})
    except ConfigurationError as error:
        assert "cannot be sent" in str(error)  # noqa: PT017 - either is fine: refused, or sent as a plain header
        return
    await ask(transport, BODY)
    assert gateway.last_request.headers["host"] == f"127.0.0.1:{gateway.port}"
    assert other.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://{other}/", "https://{other}/", "//{other}/", "/elsewhere"])
async def test_no_redirect_is_followed(
    gateway: LocalGateway, make_gateway: Callable[..., LocalGateway], ask: Ask, status: int, target: str
) -> None:
    other = make_gateway()
    gateway.script(Reply.raw(status, "", {"location": target.format(other=f"127.0.0.1:{other.port}")}))
    with pytest.raises(RedirectRefusedError, match="not followed"):
        await ask(transport_to(gateway, max_retries=2), BODY)
    assert (len(gateway.requests), other.connections) == (1, 0)


async def test_a_redirect_is_named_without_its_secrets(gateway: LocalGateway, ask: Ask) -> None:
    target = "https://hidden:hidden@elsewhere.invalid/x?k=hidden#hidden"
    gateway.script(Reply.raw(307, "", {"location": target}))
    with pytest.raises(RedirectRefusedError, match=r"redirect to https://elsewhere\.invalid/x ") as caught:
        await ask(transport_to(gateway), BODY)
    assert "hidden" not in str(caught.value) + repr(vars(caught.value))


@contextmanager
def _listening() -> Iterator[tuple[int, list[bytes]]]:
    """Give the port of a proxy that hangs up, and what it is told."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock:
                    heard.append(sock.recv(65536))

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)


_ASK = """
import asyncio, sys
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.transport import Transport
transport = Transport(GatewayConfig.resolve(), max_retries=0, timeout=10)
body = {"model": "a/b", "messages": [{"role": "user", "content": "Hello"}]}
for ask in (lambda: transport.complete(body), lambda: asyncio.run(transport.acomplete(body))):
    try:
        ask()
    except KiloCodeError as error:
        print(type(error).__name__)
"""


def _asked(**variables: str) -> str:
    env = {**os.environ, "KILOCODE_API_KEY": KEY, **variables}
    done = subprocess.run(
        [sys.executable, "-c", _ASK], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_proxy_to_the_world_sees_where_requests_go_and_no_key() -> None:
    with _listening() as (port, heard):
        said = _asked(HTTPS_PROXY=f"http://127.0.0.1:{port}", KILOCODE_BASE_URL="https://gateway.example/")
    assert said == "ConnectionFailedError\n" * 2
    assert [told.split(b"\r\n")[0] for told in heard] == [b"CONNECT gateway.example:443 HTTP/1.1"] * 2
    assert not [told for told in heard if KEY.encode() in told]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::1]", "[0:0:0:0:0:0:0:1]"])
def test_no_proxy_hears_of_requests_to_this_machine(host: str) -> None:
    with _listening() as (port, heard), socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
        free.close()
        proxies = dict.fromkeys(PROXIES, f"http://127.0.0.1:{port}")
        said = _asked(**proxies, KILOCODE_BASE_URL=f"http://{host}:{nobody}/")
    assert said == "ConnectionFailedError\n" * 2
    assert heard == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Make a certificate that nobody trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("nothing here can make a certificate: there is no openssl")
    folder = tmp_path_factory.mktemp("certificate")
    paths = (str(folder / "certificate.pem"), str(folder / "key.pem"))
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"openssl cannot make a certificate here: {done.stderr[-200:]}")
    return paths


@contextmanager
def _encrypted(certificate: tuple[str, str]) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a server with that certificate, and what it was told."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    body = b'{"id":"g","choices":[{"index":0,"message":{"content":"ok"},"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(sock, server_side=True) as tls:
                        told = tls.recv(65536)
                        while not told.endswith(b"}"):
                            told += tls.recv(65536)
                        heard.append(told)
                        tls.sendall(head % len(body) + body)
                except OSError:
                    sock.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}/", heard
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("ask", ["complete", "acomplete"], indirect=True)
async def test_a_certificate_that_nobody_trusts_is_refused(ask: Ask, certificate: tuple[str, str]) -> None:
    with _encrypted(certificate) as (address, heard):
        config = GatewayConfig.resolve(base_url=address, api_key=KEY)
        with pytest.raises(ConnectionFailedError, match=r"not trusted.*SSL_CERT_FILE.*never turned off") as caught:
            await ask(Transport(config, max_retries=2), BODY)
    assert not caught.value.retryable
    assert heard == []


def test_an_authority_of_ones_own_is_trusted(certificate: tuple[str, str]) -> None:
    with _encrypted(certificate) as (address, heard):
        assert _asked(KILOCODE_BASE_URL=address, SSL_CERT_FILE=certificate[0]) == ""
    assert len(heard) == 2
    assert all(f"bearer {KEY}".encode() in told.lower() for told in heard)


UNCHECKED = {"_create_unverified_context", "CERT_NONE", "check_hostname", "disable_warnings"}


def test_no_line_of_the_packages_turns_the_checking_off() -> None:
    root = Path(kilocode_gateway.__file__).parents[1]
    rooms = ("kilocode_gateway", "langchain_kilocode", "llama_index_kilocode")
    found: list[Any] = []
    for path in (path for room in rooms for path in (root / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in UNCHECKED:
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.keyword) and node.arg in ("verify", "follow_redirects"):
                off = isinstance(node.value, ast.Constant) and node.value.value is (node.arg == "follow_redirects")
                found += [f"{path}:{node.value.lineno}"] if off else []
    assert found == []
