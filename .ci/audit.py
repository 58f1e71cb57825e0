"""Ask pip-audit whether a package that we require directly has a known vulnerability.

Leaves with 0 when none has, 1 when one has, and 75 when nobody could tell: then nothing is proved, and nothing failed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOOL = "pip-audit==2.10.1"
AUDIT = [
    "-m",
    "pip_audit",
    "--no-deps",
    "--disable-pip",
    "--format",
    "json",
    "--progress-spinner",
    "off",
    "--timeout",
    "5",
]
OWN = ("kilocode-gateway", "pip")
SECONDS = 60.0
"""For all of it: the installation and the questions."""
SKIPPED = 75

ACCEPTED: dict[str, str] = {}
"""Id of a vulnerability that does not reach us -> why."""


def direct() -> set[str]:
    """Name the distributions that pyproject.toml requires for users, as indexes spell them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    names = {_name(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in (*project["dependencies"], *extras)}
    return names - {_name(project["name"])}


def verdict(report: dict[str, Any], wanted: set[str], accepted: dict[str, str] = ACCEPTED) -> tuple[int, list[str]]:
    """Judge a report of pip-audit.

    Args:
        report: Its JSON.
        wanted: The distributions that count; others are only told.
        accepted: Ids that do not count, with the reason.

    """
    status, lines, known = 0, [], set()
    for found in report["dependencies"]:
        name = _name(found["name"])
        if "skip_reason" in found:
            continue
        known.add(name)
        for vulnerability in found["vulns"]:
            ids = [vulnerability["id"], *vulnerability.get("aliases", [])]
            reason = next((accepted[one] for one in ids if one in accepted), None)
            fixed = ", ".join(vulnerability.get("fix_versions", [])) or "no version yet"
            told = f"{name} {found['version']}: {', '.join(ids)}, mended in {fixed}"
            if reason is not None:
                lines.append(f"accepted: {told} ({reason})")
            elif name in wanted:
                status = 1
                lines.append(f"VULNERABLE: {told}")
            else:
                lines.append(f"beside us: {told}")
    if unknown := sorted(wanted - known):
        lines.append(f"SKIPPED: nothing could be learned of {', '.join(unknown)}")
        status = status or SKIPPED
    return status, lines


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Install pip-audit into an environment of its own and let it judge what stands in ours."""
    ends = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory() as work:
        python, pins = f"{work}/venv/bin/python", Path(work, "pins.txt")
        try:
            listed = json.loads(_run([sys.executable, "-m", "pip", "list", "--format", "json"], ends))
            pins.write_text("".join(f"{one['name']}=={one['version']}\n" for one in listed if one["name"] not in OWN))
            _run([sys.executable, "-m", "venv", f"{work}/venv"], ends)
            _run([python, "-m", "pip", "install", "--quiet", TOOL], ends)
            report = json.loads(_run([python, *AUDIT, "--requirement", str(pins)], ends, may_fail=True))
        except (subprocess.SubprocessError, OSError, ValueError) as exc:
            told = (getattr(exc, "stderr", "") or str(exc)).strip().splitlines()[-1:]
            _say(["SKIPPED: pip-audit could not be had, or could not reach its data: " + " ".join(told)[:300]])
            return SKIPPED
    status, lines = verdict(report, direct())
    _say(lines or [f"No known vulnerability in {len(report['dependencies'])} packages."])
    return status


def _run(command: list[str], ends: float, *, may_fail: bool = False) -> str:
    left = max(ends - time.monotonic(), 1.0)
    done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=not may_fail)  # noqa: S603 - our own words
    return done.stdout


def _say(lines: list[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
