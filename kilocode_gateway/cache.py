"""Keeps a model list on disk: one JSON Lines file for each gateway and organization, with a header line.

A file is replaced atomically, so processes may write at once and be killed on the way. A file that is corrupt, foreign
or of another format counts as absent. It never holds a key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Identity = tuple[str, str | None]
    """A gateway's address and an organization."""

_log = logging.getLogger("kilocode_gateway")

FORMAT = 1
FOLDER_VARIABLE = "KILOCODE_CACHE_DIR"
TIME_TO_LIVE = 6 * 3600.0
"""Seconds after which a list is fetched anew."""
_CLOCK_SKEW = 300.0
# Seconds after which a file that a killed process left half written is swept away.
_ABANDONED = 3600.0
_LONGEST_HOST = 80
_LISTS = "models-*.jsonl"
_LOCAL_LISTS = "models-127.0.0.1-*.jsonl"


def now() -> float:
    """Give the time, in seconds since 1970."""
    return time.time()


def is_fresh(fetched: float) -> bool:
    """Say whether a list that was fetched then is still good. One from the future is not: a clock was wrong."""
    return -_CLOCK_SKEW <= now() - fetched <= TIME_TO_LIVE


class Lines(Mapping[str, bytes]):
    """For each id its line of JSON, cut out of the file when it is asked for."""

    __slots__ = ("_data", "_first", "_places")

    def __init__(self, data: bytes, first: int, places: dict[str, slice]) -> None:
        self._data = data
        self._first = first
        """Where in the data the first line begins; the places count from there."""
        self._places = places

    def __getitem__(self, id_: str) -> bytes:
        place = self._places[id_]
        return self._data[self._first + place.start : self._first + place.stop]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, slots=True)
class CachedList:
    """A model list from the disk."""

    fetched: float
    """When it was fetched, in seconds since 1970."""
    lines: Mapping[str, bytes]
    """For each id its entry, as a line of JSON that was not read yet."""
    skipped: int = 0
    """How many entries could not be read when it was fetched."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of the cache folder, as its first line tells of it; None for what cannot be read."""

    path: Path
    bytes: int
    base_url: str | None = None
    organization_id: str | None = None
    models: int | None = None
    fetched: float | None = None
    """When the list was fetched, in seconds since 1970."""

    @property
    def age(self) -> float | None:
        """Seconds since the list was fetched."""
        return None if self.fetched is None else max(0.0, now() - self.fetched)


def folder() -> Path:
    """Give the cache folder: `KILOCODE_CACHE_DIR`, else the platform's."""
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    if given:
        return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's own raises where there is no home
    import platformdirs

    return Path(platformdirs.user_cache_dir("kilocode-gateway", appauthor=False))


def path_of(identity: Identity) -> Path:
    """Give the file for a gateway's address and an organization."""
    url, organization = identity
    host = re.sub(r"[^a-z0-9.-]+", "-", url.split("//", 1)[-1].split("/", 1)[0].lower())[:_LONGEST_HOST]
    digest = hashlib.sha256(json.dumps([url, organization]).encode()).hexdigest()[:16]
    return folder() / f"models-{host}-{digest}.jsonl"


def load(identity: Identity) -> CachedList | None:
    """Read the list, however old; None when there is none that can be trusted."""
    try:
        data = path_of(identity).read_bytes()
        # Copying what follows the header would cost as much again as reading it.
        first = data.index(b"\n") + 1
        length = len(data) - first
        header = json.loads(data[:first])
        if header["format"] != FORMAT or (header["url"], header["organization"]) != identity:
            return None
        if header["length"] != length or header["checksum"] != zlib.crc32(memoryview(data)[data.index(b",") :]):
            return None
        ids, starts = header["ids"], header["starts"]
        if not all(type(id_) is str for id_ in ids) or not all(type(start) is int for start in starts):
            return None
        places = dict(zip(ids, map(slice, starts, starts[1:]), strict=True))
        if len(places) != header["count"] or not places or starts[-1] != length:
            return None
        return CachedList(float(header["time"]), Lines(data, first, places), int(header["skipped"]))
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def save(identity: Identity, lines: Mapping[str, str], fetched: float, *, skipped: int = 0) -> None:
    """Write the list. A folder that cannot be written to is no failure: the list is just not kept.

    Args:
        identity: The gateway's address and the organization.
        lines: For each id its entry, as one line of JSON.
        fetched: When it was fetched, in seconds since 1970.
        skipped: How many entries could not be read.

    """
    text = "".join([f"{line}\n" for line in lines.values()]).encode("utf-8", "surrogatepass")
    ends = [at.end() for at in re.finditer(b"\n", text)]
    header = {
        "format": FORMAT,
        "url": identity[0],
        "organization": identity[1],
        "time": fetched,
        "length": len(text),
        "count": len(lines),
        "skipped": skipped,
        # Here rather than in front of each entry, so that a start from the cache reads one line of JSON and no more.
        "ids": list(lines),
        "starts": [0, *ends],
    }
    # The checksum comes first and covers the rest of the file, from the comma that follows it.
    head = b", %b\n" % json.dumps(header).encode()[1:]
    try:
        _replace(path_of(identity), b'{"checksum": %d' % zlib.crc32(text, zlib.crc32(head)), head, text)
    except OSError as exc:
        _log.debug("The model list was not kept on disk: %s", exc)


def kept() -> list[KeptFile]:
    """Tell of every list on disk, whoever's it is, the newest first."""
    found = []
    for path in folder().glob(_LISTS):
        with contextlib.suppress(OSError):
            found.append(_look_at(path))
    return sorted(found, key=lambda one: (-(one.fetched or 0.0), one.path))


def _look_at(path: Path) -> KeptFile:
    """Tell of one file.

    Raises:
        OSError: If it is gone.

    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
        url, organization = header["url"], header["organization"]
        if not isinstance(url, str) or not isinstance(organization, str | None):
            return KeptFile(path, size)
        return KeptFile(path, size, url, organization, int(header["count"]), float(header["time"]))
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError):
        return KeptFile(path, size)


def clear() -> int:
    """Remove every list, and give how many there were."""
    removed = 0
    for path in [*folder().glob(_LISTS), *folder().glob(".models-*.tmp")]:
        with contextlib.suppress(OSError):
            path.unlink()
            removed += path.suffix == ".jsonl"
    return removed


def _replace(path: Path, *parts: bytes) -> None:
    """Put a file in the place of another at once: whoever reads sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sweep(path: Path) -> None:
    """Remove what processes that were killed left half written, and old lists of local gateways.

    A local gateway has a new port each time, so nobody reads its list again.
    """
    half = [(left, _ABANDONED) for left in path.parent.glob(f".{path.name}.*.tmp")]
    lists = [(left, TIME_TO_LIVE) for left in path.parent.glob(_LOCAL_LISTS) if left != path]
    for left, seconds in half + lists:
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > seconds:
                left.unlink()
