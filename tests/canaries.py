"""Words that must never show, and the places in which they are looked for."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

KEY = 'canary/key+7f3a"of=mine'
HEADER = "canary/header+51b2 of=mine"
FOREIGN = "canary/foreign+90c4=key"
"""What stands in other providers' variables."""
CANARIES = (KEY, HEADER, FOREIGN)
HEADERS = {"X-Canary-Token": HEADER}
TESTS = Path(__file__).parent
PACKAGES = {"kilocode_gateway", "langchain_kilocode", "llama_index_kilocode"}
OTHERS = (
    *("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS", "LANGSMITH_GATEWAY_API_KEY"),
    *("OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
)
OTHER_ADDRESSES = (
    *("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY", "LANGSMITH_GATEWAY", "LANGSMITH_GATEWAY_URL"),
    *("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"),
)
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def _echo(text: str) -> dict[str, Any]:
    return {"error": {"code": "INVALID_TOKEN", "message": text, "metadata": {"raw": json.dumps({"message": text})}}}


SAID = f"No: {KEY} with {HEADER}."
_EVENT = {"id": "g", "choices": [{"index": 0, "delta": {"content": "Half"}}]}
FAULTS: dict[str, Callable[[], Reply]] = {
    "a refusal that repeats both": lambda: Reply.raw(401, _echo(SAID)),
    "a refusal that repeats both as keys": lambda: Reply.raw(400, {"error": {"message": "No.", KEY: [HEADER]}}),
    "a page that repeats both": lambda: Reply.raw(502, f"<html>{SAID}</html>", {"content-type": "text/html"}),
    "a page cut within the key": lambda: Reply.raw(502, "x" * 490 + KEY),
    "a refusal cut within the key": lambda: Reply.raw(500, "x" * 3990 + KEY),
    "an error inside a 200": lambda: Reply.raw(200, _echo(SAID)),
    "no JSON": lambda: Reply.raw(200, f"oh {SAID}"),
    "no JSON, cut within the key": lambda: Reply.raw(200, "x" * 190 + KEY),
    "broken JSON": lambda: Reply.raw(200, "{" + json.dumps(SAID)),
    "a broken event": lambda: Reply.raw(200, f"data: oh {SAID}\n\n", {"content-type": "text/event-stream"}),
    "a broken event, cut within the key": lambda: Reply.raw(200, f"data: {'x' * 190}{KEY}\n\n"),
    "an error event": lambda: Reply.raw(200, f"data: {json.dumps(_EVENT)}\n\ndata: {json.dumps(_echo(SAID))}\n\n"),
    "a stream that ends early": lambda: Reply.chunks([_EVENT]),
    "a connection that breaks": lambda: Reply.text("x" * 100, reset_after=20, split=1),
    "no answer": lambda: Reply.text("x", drop=True),
    "silence": lambda: Reply.text("x", delay=60.0),
    "a wrong encoding": lambda: Reply.text("x" * 100, gzip="lie"),
    "a redirect": lambda: Reply.raw(
        307, "", {"location": f"https://{quote(KEY, safe='')}@elsewhere.invalid/{quote(KEY)}?k={KEY}#{KEY}"}
    ),
}
"""What goes wrong on the wire -> the answer that does it, with the canaries where an answer can repeat them."""


@pytest.fixture
def elsewhere(make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    """Put a canary into every other provider's variables, and a server that hears nothing where they name one."""
    trap = make_gateway()
    for name in OTHERS:
        monkeypatch.setenv(name, FOREIGN)
    for name in OTHER_ADDRESSES:
        monkeypatch.setenv(name, f"{trap.base_url}elsewhere")
    for name in PROXIES:
        monkeypatch.setenv(name, trap.base_url)
    return trap


@contextmanager
def everything_said() -> Iterator[list[str]]:
    """Give what is logged by every library at every level inside, and what is warned of."""
    said: list[str] = []
    handler = logging.Handler(1)
    handler.emit = lambda record: said.append(  # type: ignore[method-assign]
        f"{record.name}: {record.getMessage()} {record.args!r} {record.exc_info!r} {record.exc_text!r}"
    )
    root = logging.getLogger()
    loggers = [root, *(one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger))]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(1)
    root.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield said
        said += [str(one) for one in warned]
    finally:
        root.removeHandler(handler)
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def forms(secret: str) -> set[str]:
    """Give a secret whole and cut, as it looks in URLs, JSON, Python and base64, at each of base64's three offsets."""
    given = {secret, secret[:10], quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + secret.encode()).decode().rstrip("=")
        # The first and the last characters also hold bits of what stands beside the secret.
        inner = encoded[4 if lead else 0 : -2]
        given |= {inner, inner.replace("+", "-").replace("/", "_")}
    return given


_FORMS = {form for canary in CANARIES for form in forms(canary)}


def found(told: object) -> list[str]:
    """Give the forms of the canaries that stand in a text, bytes, or what an object shows of itself."""
    if isinstance(told, str):
        text = told
    elif isinstance(told, (bytes, bytearray)):
        text = told.decode("utf-8", "replace")
    else:
        text = f"{told!r}\n{told}"
    return sorted(form for form in _FORMS if form in text)


def shown(error: BaseException, *, ours_only: bool = False) -> dict[str, str]:
    """Give everything that an error, and each error behind it, shows of itself: place -> text.

    Args:
        error: What was raised.
        ours_only: Leave the frames of other packages out: those of a framework hold what its caller gave to it.

    """
    told: dict[str, str] = {}
    for number, one in enumerate(_family(error)):
        name = f"{number} {type(one).__name__}"
        told |= {
            f"{name}: str": str(one),
            f"{name}: repr": repr(one),
            f"{name}: args": repr(one.args),
            f"{name}: dict": repr(vars(one)),
            f"{name}: notes": repr(getattr(one, "__notes__", ())),
            f"{name}: request": repr(_request(one)),
            f"{name}: pickle": repr(_pickled(one)),
        }
        told |= {f"{name}: {place}": text for place, text in _locals(one, ours_only=ours_only)}
    if not ours_only:
        told["traceback"] = "".join(traceback.TracebackException.from_exception(error).format())
    return told


def leaks(error: BaseException, *, ours_only: bool = False) -> dict[str, list[str]]:
    """Give the places of an error in which a canary shows, with its forms."""
    return {place: forms for place, text in shown(error, ours_only=ours_only).items() if (forms := found(text))}


@contextmanager
def errors_show_nothing(*, ours_only: bool = False) -> Iterator[None]:
    """Take an error of the block, where it ends in one, and look for the canaries in all that it shows."""
    error = None
    try:
        yield
    except KiloCodeError as exc:
        error = exc
    if error is not None:
        assert leaks(error, ours_only=ours_only) == {}


def _family(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and all(one is not other for other in seen):
            seen.append(one)
            todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return seen


def _request(error: BaseException) -> list[object]:
    """Give what `openai`'s errors carry of the request and of the answer."""
    told: list[object] = []
    for name in ("request", "response"):
        held = getattr(error, name, None)
        told += [] if held is None else [dict(held.headers), str(held.url), held.content]
    return told


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error)
    except (TypeError, AttributeError, pickle.PicklingError):
        return b""


def _locals(error: BaseException, *, ours_only: bool) -> Iterator[tuple[str, str]]:
    """Give the local variables of every frame but the tests' own, which hold the canaries on purpose."""
    step = error.__traceback__
    while step is not None:
        code, values = step.tb_frame.f_code, dict(step.tb_frame.f_locals)
        step = step.tb_next
        path = Path(code.co_filename)
        if TESTS in path.parents or (ours_only and not PACKAGES & set(path.parts)):
            continue
        for name, value in values.items():
            yield f"{path.name}:{code.co_name}: {name}", _safe_repr(value)


def _safe_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001 - an object that was never made cannot show itself
        text = repr(exc)
    if isinstance(value, str) and type(value) is not str:
        # What prints tracebacks cuts long texts before it shows them.
        text += repr(value[:-1])
    return text
