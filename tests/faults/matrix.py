"""Lets every fault happen to every asker, and judges how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import importlib.util
import json
import logging
import os
import socket
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.local import LocalGateway
from kilocode_gateway.policy import RetryPolicy
from tests.faults.asking import INPUTS, KEY, MODEL, Heard, Settings
from tests.faults.faults import faults_of, ids_asked
from tests.faults.subjects import subjects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.asking import Subject
    from tests.faults.faults import Fault

LONGEST = 30.0
"""Seconds that no cell may take: every limit that a cell sets is below, and what it ends would take twice as long."""
LONGEST_WAIT = 60.0
"""Seconds that an asker may be told to wait before it asks again."""
MODELS = [{"id": id_, "context_length": 1000} for id_ in (MODEL, "openai/gpt-5.4", "google/gemini-3.5-flash")]
LIBRARIES = ("httpx", "httpx2")


@dataclass(slots=True)
class Report:
    """How the cells ended."""

    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What is wrong, one line for each cell that did not end as it must."""

    @property
    def cells(self) -> int:
        """How many cells were tried."""
        return sum(self.endings.values())

    def add(self, other: Report) -> None:
        """Take another's cells over."""
        self.endings.update(other.endings)
        self.wrong += other.wrong

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.endings.most_common())
        return f"{self.cells:,} cells: {kinds}; {len(self.wrong)} wrong"


def libraries() -> list[str]:
    """Name the HTTP libraries that are installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name)]


class Matrix:
    """Runs one framework's askers over one HTTP library, on a gateway of its own.

    Args:
        framework: Whose askers.
        library: `httpx` or `httpx2`. The one that is the default is used through the shared clients.
        step: The line ends after each so many bytes.

    """

    def __init__(self, framework: str, library: str, step: int) -> None:
        self.askers = {subject.name: subject for subject in subjects(framework)}
        self._library = library
        self._step = step
        self._waits: list[float | None] = []

    def run(self, name: str) -> Report:
        """Let everything happen to an asker."""
        subject, report = self.askers[name], Report()
        with self._recorded_waits(), LocalGateway(models=MODELS) as gateway, asyncio.Runner() as runner:
            clients = runner.run(self._clients())
            expected = runner.run(self._usual(subject, gateway, clients))
            for fault in faults_of(subject, _size(subject, gateway), self._step):
                cell = self._cell if fault.limit is None else self._limited_cell
                ending, complaints = runner.run(cell(subject, fault, gateway, clients, expected))
                report.endings[ending] += 1
                report.wrong += [f"{name}, {self._library}, {fault.name}: {complaint}" for complaint in complaints]
            runner.run(_close(clients))
        return report

    @contextlib.contextmanager
    def _recorded_waits(self) -> Iterator[None]:
        """Note how long the askers wait before they ask again, and let them not."""
        real = RetryPolicy.wait

        def wait(policy: RetryPolicy, *given: Any, **more: Any) -> float | None:
            seconds = real(policy, *given, **more)
            self._waits.append(seconds)
            return None if seconds is None else 0.0

        RetryPolicy.wait = wait  # type: ignore[method-assign]
        try:
            yield
        finally:
            RetryPolicy.wait = real  # type: ignore[method-assign]

    async def _clients(self) -> tuple[Any, Any]:
        if self._library == libraries()[-1]:
            return None, None
        module = importlib.import_module(self._library)
        return module.Client(trust_env=False), module.AsyncClient(trust_env=False)

    async def _usual(self, subject: Subject, gateway: LocalGateway, clients: tuple[Any, Any]) -> Any:
        """Give the whole answer where nothing goes wrong."""
        heard = Heard()
        gateway.script(subject.reply(), path=subject.path)
        await subject.ask(Settings(gateway.base_url, clients), heard)
        assert heard.whole
        assert subject.expected is None or heard.whole == subject.expected
        return heard.whole

    async def _limited_cell(
        self, subject: Subject, fault: Fault, _: LocalGateway, clients: tuple[Any, Any], expected: Any
    ) -> tuple[str, list[str]]:
        """Let a limit end something, a longer one where the machine stood still before what was to come first.

        Each try has a gateway of its own: a request that comes after its time takes no other's answer.
        """
        for seconds in (0.25, 2.0, 10.0):
            limits = {"more": {"total_timeout": seconds}} if fault.limit == "total_timeout" else {"timeout": seconds}
            with LocalGateway(models=MODELS) as gateway:
                limited = dataclasses.replace(fault, settings=limits)
                ending, complaints = await self._cell(subject, limited, gateway, clients, expected)
            if not complaints:
                break
        return ending, complaints

    async def _cell(
        self, subject: Subject, fault: Fault, gateway: LocalGateway, clients: tuple[Any, Any], expected: Any
    ) -> tuple[str, list[str]]:
        """Let one thing go wrong once; give how it ended, and what is wrong about that."""
        gateway.clear()
        gateway.script(*fault.replies, path=subject.path)
        self._waits.clear()
        heard, error = Heard(), None
        address = f"http://127.0.0.1:{_free_port()}/api/gateway/" if fault.refused else gateway.base_url
        begin = time.monotonic()
        try:
            await subject.ask(Settings(address, clients, **fault.settings), heard)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is judged
            error = exc
        seconds = time.monotonic() - begin
        if fault.text is not None:
            expected = (fault.text, "", [])
        found = [
            *_judged(subject, fault, heard, error, expected),
            *self._judged_requests(fault, sum(subject.path in request.path for request in gateway.requests)),
        ]
        if seconds > LONGEST:
            found.append(f"took {seconds:.1f} seconds")
        ending = type(error).__name__ if error else "whole" if heard.whole is not None else "a warning"
        return ending, found

    def _judged_requests(self, fault: Fault, requests: int) -> Iterator[str]:
        ids = ids_asked(fault)
        most = ids if fault.began else 2 * ids
        if requests > most:
            yield f"sent {requests} requests, where {most} are the most"
        if fault.waits:
            if self._waits[:1] != [fault.waits]:
                yield f"would have waited {self._waits}, expected {fault.waits}"
        elif any(wait is not None and wait > LONGEST_WAIT for wait in self._waits):
            yield f"would have waited {self._waits}"


def run(framework: str, library: str, asker: str, step: int) -> Report:
    """Run one asker in a process of its own, with nothing on disk that another has left."""
    with tempfile.TemporaryDirectory(prefix="kilocode-faults-") as folder:
        os.environ["KILOCODE_CACHE_DIR"] = folder
        logging.getLogger("kilocode_gateway").addHandler(logging.NullHandler())
        return Matrix(framework, library, step).run(asker)


def _judged(subject: Subject, fault: Fault, heard: Heard, error: Exception | None, expected: Any) -> Iterator[str]:
    """Hold an ending against what it must be: the complete answer, or a typed error with the text so far."""
    text = "".join(heard.pieces)
    if error is None and heard.whole is None and not subject.raises:
        if not heard.warnings:
            yield "failed without a warning"
        if fault.ends == "whole":
            yield "failed, where nothing had to"
    elif error is None:
        if heard.whole != expected:
            yield f"gave {str(heard.whole)[:300]!r}, expected {str(expected)[:300]!r}"
        if subject.streams and text != expected[0]:
            yield f"its pieces are {text[:300]!r}"
        if fault.ends == "error":
            yield "gave an answer, where an error was due"
    else:
        if not subject.raises:
            yield f"raised {error!r}"
        if fault.ends == "whole":
            yield f"raised {error!r}, where nothing had to fail"
        yield from _judged_error(error, text, expected[0] if subject.path == "chat/completions" else "")


def _judged_error(error: Exception, heard: str, text: str) -> Iterator[str]:
    if not isinstance(error, KiloCodeError):
        yield f"raised {type(error).__module__}.{type(error).__qualname__}: {error}"
        return
    if importlib.util.find_spec("openai"):
        from openai import OpenAIError

        if not isinstance(error, OpenAIError):
            yield f"{type(error).__qualname__} is none of openai's errors"
    if not text.startswith(error.text):
        yield f"the error's text is {error.text[:100]!r}, which the answer does not begin with"
    if not error.text.startswith(heard):
        yield f"the error's text is {error.text[:100]!r}, but {heard[:100]!r} had come"
    if KEY in f"{error} {error!r} {error.__dict__}":
        yield "the error holds the key"


def _size(subject: Subject, gateway: LocalGateway) -> int:
    """Count the bytes of an asker's whole answer."""
    body: dict[str, Any] | None = None
    if subject.path == "chat/completions":
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi."}], "stream": subject.streams}
    elif subject.path == "embeddings":
        body = {"model": "openai/text-embedding-3-small", "input": INPUTS, "dimensions": 4}
    data = json.dumps(body).encode() if body else None
    gateway.script(subject.reply(), path=subject.path)
    request = urllib.request.Request(
        gateway.base_url + subject.path, data, {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return len(answer.read())


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _close(clients: tuple[Any, Any]) -> None:
    sync, asynchronous = clients
    if sync is not None:
        sync.close()
        await asynchronous.aclose()
