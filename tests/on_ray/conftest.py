"""A local Ray cluster for all tests here."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import ray
import ray.data

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "canary-key-of-the-environment"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=int, default=500, help="how many rows the long job has (500)")


def pytest_configure(config: pytest.Config) -> None:
    # Ray remarks on settings of its own that nobody here has touched.
    config.addinivalue_line("filterwarnings", "ignore::Warning:ray")


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> int:
    given: int = request.config.getoption("--rows")
    return given


def started_with(folder: Path) -> list[psutil.Process]:
    """List the processes that have this folder in their environment, but for this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and str(folder) in process.environ().values():
                found.append(process)
    return found


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """Give a folder with a short name for Ray's session: the paths of its sockets may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kilo-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster(session_folder: Path) -> Iterator[Path]:
    """Run a cluster whose workers have a key in their environment; give the folder with all that it logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILOCODE_API_KEY", KEY)
        patch.setenv("KILOCODE_CACHE_DIR", str(session_folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=100 * 2**20,  # fits into the /dev/shm of most containers
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(session_folder),
            _node_ip_address="127.0.0.1",
        )
        try:
            logging.getLogger("ray.data").setLevel("ERROR")
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield session_folder
        finally:
            ray.shutdown()
    assert psutil.wait_procs(started_with(session_folder), timeout=60)[1] == []


@pytest.fixture(autouse=True)
def _key(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
