"""What every test stands on: no settings from outside, a cache folder of its own, local gateways on demand."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sysconfig
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

SETTINGS = ("KILO", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LLAMA_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY")

_used_ports: set[int] = set()

# No test asserts a time: a busy machine fails nothing.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("house", "what .ci/run expects of the environment under test")
    group.addoption("--installed", action="store_true", help="the packages must come from site-packages")
    group.addoption("--openai-major", type=int, help="the major version that openai must have")


def pytest_sessionstart(session: pytest.Session) -> None:
    import kilocode_gateway

    where = Path(kilocode_gateway.__file__)
    if session.config.getoption("--installed") and Path(sysconfig.get_paths()["purelib"]) not in where.parents:
        pytest.exit(f"expected kilocode_gateway from site-packages, got {where}", returncode=4)
    major = session.config.getoption("--openai-major")
    if major is not None and int(importlib.metadata.version("openai").split(".")[0]) != major:
        pytest.exit(f"expected openai {major}, got {importlib.metadata.version('openai')}", returncode=4)


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores: many tests wait for a line that stands still, or for a limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


def pytest_report_header() -> str:
    import kilocode_gateway

    names = ("openai", "httpx", "httpx2", "langchain-core", "langchain-openai", "llama-index-core")
    return f"kilocode_gateway: {Path(kilocode_gateway.__file__).parent}; {', '.join(map(_version, names))}"


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {name}"


@pytest.fixture(scope="session", autouse=True)
def _no_loop_unasked() -> None:
    """Keep asyncio from making an event loop that nobody closes, for frameworks that ask for the current one."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Take every variable away that the packages, the frameworks or the HTTP libraries would listen to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(SETTINGS) or name.upper() in PROXIES:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Wait longer than any machine stands still, where the packages go on after a second or two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kilocode_gateway.catalog.LOOK_SECONDS", 60.0)
        patch.setattr("kilocode_gateway.streams._LAST_BYTES_SECONDS", 60.0)
        yield


@pytest.fixture(autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KILOCODE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make event loops of asyncio's own kind, and of uvloop's where it is installed."""
    return pytest.importorskip(request.param).new_event_loop


@pytest.fixture
def make_gateway() -> Iterator[Callable[..., LocalGateway]]:
    """Start local gateways with any settings; they stop when the test ends."""
    with ExitStack() as running:
        yield lambda **settings: _start(running, settings)


@pytest.fixture
def gateway(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    """Give one local gateway as it comes."""
    return make_gateway()


def _start(running: ExitStack, settings: dict[str, Any]) -> LocalGateway:
    """Start a gateway on a port that no earlier test had: what is remembered of an address ends with its test."""
    from kilocode_gateway.local import LocalGateway

    while True:
        found = running.enter_context(LocalGateway(**settings))
        port = int(found.base_url.split("/")[2].rpartition(":")[2])
        if port not in _used_ports or settings.get("port"):
            _used_ports.add(port)
            return found
