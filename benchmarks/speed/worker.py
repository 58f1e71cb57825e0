"""The process of one subject: it takes a piece of work on each line of its input, and writes the figures."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks.speed.server import ROOT
from benchmarks.speed.subjects import BY_NAME

if TYPE_CHECKING:
    from benchmarks.speed.works import Figures

_FOREIGN = ("KILO", "OPENAI_", "OPENROUTER_", "LANGSMITH_", "LANGCHAIN_", "LITELLM_", "PYTHONDONTWRITEBYTECODE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PACKAGES = (
    "openai",
    "httpx",
    "httpx2",
    "langchain-core",
    "langchain-openai",
    "langchain-openrouter",
    "langchain-litellm",
    "litellm",
    "llama-index-core",
    "llama-index-llms-openai-like",
    "llama-index-llms-openrouter",
)


class Worker:
    """A subject's process, in its environment."""

    def __init__(self, name: str, python: str, address: str) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        environment = {
            key: value for key, value in os.environ.items() if not key.upper().startswith((*_FOREIGN, *_PROXIES))
        }
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [python, "-m", "benchmarks.speed.worker", name, address],
            cwd=ROOT,
            env={**environment, "KILOCODE_CACHE_DIR": self._folder.name, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    def run(self, work: str, arguments: dict[str, Any]) -> Figures:
        """Do some work once.

        Raises:
            RuntimeError: If it failed.

        """
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("expected the worker to have an input")
        stdin.write(json.dumps([work, arguments]) + "\n")
        stdin.flush()
        figures: Figures = self._answer()["figures"]
        return figures

    def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        line = stdout.readline() if stdout is not None else ""
        if not line:
            raise RuntimeError(f"expected an answer of the worker of {self.name}, but it ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def main(name: str, address: str) -> None:
    """Work until the input ends."""
    from benchmarks.speed.works import Works

    # Whatever a library prints must not stand between the figures.
    out, sys.stdout = sys.stdout, sys.stderr
    works = Works(BY_NAME[name], address)
    print(json.dumps({"versions": _versions()}), file=out, flush=True)
    for line in sys.stdin:
        work, arguments = json.loads(line)
        print(json.dumps({"figures": works.run(work, arguments)}), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
