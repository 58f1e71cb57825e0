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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def now() -> float:
    """Give the time, in seconds since 1970."""
    return time.time()


def is_fresh(fetched: float) -> bool:
    """Say whether a list that was fetched then is still good. One from the future is not: a clock was wrong."""
    return -_CLOCK_SKEW <= now() - fetched <= TIME_TO_LIVE


@dataclass(frozen=True, slots=True)
class CachedList:
    """A model list from the disk."""

    fetched: float
    """When it was fetched, in seconds since 1970."""
    lines: dict[str, bytes]
    """For each id its entry, as a line of JSON that was not read yet."""
    skipped: int = 0
    """How many entries could not be read when it was fetched."""


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
        head, _, rest = path_of(identity).read_bytes().partition(b"\n")
        header = json.loads(head)
        checksum = header.pop("checksum")
        if header["format"] != FORMAT or (header["url"], header["organization"]) != identity:
            return None
        if header["length"] != len(rest) or checksum != _checksum(header, rest):
            return None
        lines, ids = rest.split(b"\n"), header["ids"]
        if not ids or header["count"] != len(ids):
            return None
        return CachedList(float(header["time"]), dict(zip(ids, lines, strict=True)), int(header["skipped"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def save(identity: Identity, lines: Mapping[str, str], fetched: float, *, skipped: int = 0) -> None:
    """Write the list. A folder that cannot be written to is no failure: the list is just not kept.

    Args:
        identity: The gateway's address and the organization.
        lines: For each id its entry, as one line of JSON.
        fetched: When it was fetched, in seconds since 1970.
        skipped: How many entries could not be read.

    """
    rest = "\n".join(lines.values()).encode("utf-8", "surrogatepass")
    header = {
        "format": FORMAT,
        "url": identity[0],
        "organization": identity[1],
        "time": fetched,
        "length": len(rest),
        "count": len(lines),
        "skipped": skipped,
        # Here rather than in front of each entry, so that a start from the cache reads one line of JSON and no more.
        "ids": list(lines),
    }
    header["checksum"] = _checksum(header, rest)
    try:
        _replace(path_of(identity), json.dumps(header).encode() + b"\n" + rest)
    except OSError as exc:
        _log.debug("The model list was not kept on disk: %s", exc)


def clear() -> int:
    """Remove every list, and give how many there were."""
    removed = 0
    for path in [*folder().glob("models-*.jsonl"), *folder().glob(".models-*.tmp")]:
        with contextlib.suppress(OSError):
            path.unlink()
            removed += path.suffix == ".jsonl"
    return removed


def _checksum(header: Mapping[str, Any], rest: bytes) -> int:
    """Add up the whole file: the header as it was before it got the sum, and what follows it."""
    return zlib.crc32(rest, zlib.crc32(json.dumps(header).encode()))


def _replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another at once: whoever reads sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sweep(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
