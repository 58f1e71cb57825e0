"""The catalog as an asker: a failure is a warning in the log, and the bundled models."""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.local import Reply
from tests.faults.asking import KEY, Heard, Settings, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

_organizations = itertools.count()


class _Warnings(logging.Handler):
    def __init__(self, heard: Heard) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.warnings += 1


@contextlib.contextmanager
def _heard_warnings(heard: Heard) -> Iterator[None]:
    log, handler = logging.getLogger("kilocode_gateway"), _Warnings(heard)
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


def _place(given: Settings) -> dict[str, Any]:
    # Each asks for an organization of its own, so that none gets what another has found.
    organization = f"00000000-0000-4000-8000-{next(_organizations):012d}"
    return {
        "base_url": given.base_url,
        "api_key": KEY,
        "timeout": given.timeout,
        "organization_id": organization,
    }


def _read(found: Catalog, heard: Heard) -> None:
    if found.source == "gateway":
        heard.whole = sorted(found)


async def discover(given: Settings, heard: Heard) -> None:
    with _heard_warnings(heard):
        _read(Catalog.discover(**_place(given), http_client=given.clients[0]), heard)


async def adiscover(given: Settings, heard: Heard) -> None:
    with _heard_warnings(heard):
        _read(await Catalog.adiscover(**_place(given), http_async_client=given.clients[1]), heard)


SUBJECTS = [
    Subject("catalog discover", discover, None, Reply.ordinary, "models", raises=False),
    Subject("catalog adiscover", adiscover, None, Reply.ordinary, "models", raises=False),
]
