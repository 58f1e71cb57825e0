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
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("kilocode_gateway")

FORMAT = 1
FOLDER_VARIABLE = "KILOCODE_CACHE_DIR"
TIME_TO_LIVE = 6 * 3600.0
"""Seconds after which a list is fetched anew."""


@dataclass(frozen=True, slots=True)
class CachedList:
    """A model list from the disk."""

    time: float
    """When it was fetched, in seconds since 1970."""
    lines: dict[str, bytes]
    """For each id its entry, as a line of JSON that was not read yet."""

    @property
    def age(self) -> float:
        """Seconds since it was fetched."""
        return max(0.0, time.time() - self.time)


def folder() -> Path:
    """Give the cache folder: `KILOCODE_CACHE_DIR`, else the platform's."""
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("kilocode-gateway", appauthor=False))


def path_of(identity: tuple[str, str | None]) -> Path:
    """Give the file for a gateway's address and an organization."""
    url, organization = identity
    host = re.sub(r"[^a-z0-9.-]+", "-", url.split("//", 1)[-1].split("/", 1)[0].lower())
    digest = hashlib.sha256(json.dumps([url, organization]).encode()).hexdigest()[:16]
    return folder() / f"models-{host}-{digest}.jsonl"


def load(identity: tuple[str, str | None]) -> CachedList | None:
    """Read the list, however old; None when there is none that can be trusted."""
    try:
        head, _, rest = path_of(identity).read_bytes().partition(b"\n")
        header = json.loads(head)
        if (
            header["format"] != FORMAT
            or (header["url"], header["organization"]) != identity
            or header["length"] != len(rest)
            or header["checksum"] != zlib.crc32(rest)
        ):
            return None
        lines = rest.split(b"\n")
        ids, fetched = header["ids"], float(header["time"])
        if len(ids) != len(lines) or not ids:
            return None
        return CachedList(fetched, dict(zip(ids, lines, strict=True)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save(identity: tuple[str, str | None], lines: Mapping[str, str], fetched: float) -> None:
    """Write the list. A folder that cannot be written to is no failure: the list is just not kept.

    Args:
        identity: The gateway's address and the organization.
        lines: For each id its entry, as one line of JSON.
        fetched: When it was fetched, in seconds since 1970.

    """
    rest = "\n".join(lines.values()).encode("utf-8", "surrogatepass")
    header = {
        "format": FORMAT,
        "url": identity[0],
        "organization": identity[1],
        "time": fetched,
        "length": len(rest),
        "checksum": zlib.crc32(rest),
        "ids": list(lines),
    }
    path = path_of(identity)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(header).encode() + b"\n" + rest)
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as exc:
        _log.debug("The model list was not kept on disk: %s", exc)


def clear() -> int:
    """Remove every list, and give how many there were."""
    removed = 0
    for path in folder().glob("models-*.jsonl"):
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    return removed
