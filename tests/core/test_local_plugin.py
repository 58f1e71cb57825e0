"""The local gateway as a pytest fixture and as a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.core.local_client import chat

if TYPE_CHECKING:
    from pathlib import Path

    from kilocode_gateway.local import LocalGateway


def test_the_fixture_points_the_environment_at_itself(kilo_gateway: LocalGateway) -> None:
    assert os.environ["KILOCODE_BASE_URL"] == kilo_gateway.base_url
    assert os.environ["KILOCODE_API_KEY"] == kilo_gateway.api_key
    assert os.path.isdir(os.environ["KILOCODE_CACHE_DIR"])  # noqa: PTH112 - as a program would look
    assert chat(kilo_gateway).status == 200


def test_it_takes_other_settings_away_and_gives_them_back(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in ("KILO_API_KEY", "KILO_ORG_ID", "KILOCODE_ORGANIZATION_ID", "KILOCODE_FEATURE"):
        monkeypatch.setenv(name, "mine")
    request.getfixturevalue("kilo_gateway")
    assert sorted(name for name in os.environ if name.startswith("KILO")) == [
        "KILOCODE_API_KEY",
        "KILOCODE_BASE_URL",
        "KILOCODE_CACHE_DIR",
    ]


def test_the_plugin_loads_little() -> None:
    heavy = ("kilocode_gateway.local", "httpx", "openai", "pydantic")
    code = f"import sys, kilocode_gateway.pytest_plugin; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


RUN = "from kilocode_gateway.local import run; run(port=0, dialect='february', log=True)"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_says_how_to_use_it_logs_and_ends_cleanly(number: int, tmp_path: Path) -> None:
    import http.client
    import re

    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout
            what, address, key = (process.stdout.readline() for _ in range(3))
            assert "no model" in what
            match = re.fullmatch(r"export KILOCODE_BASE_URL=http://127\.0\.0\.1:(\d+)/api/gateway/\n", address)
            assert match, address
            assert re.fullmatch(r"export KILOCODE_API_KEY=\S+\n", key)
            connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=10)
            connection.request("GET", "/api/gateway/models", headers={"authorization": "Bearer very-secret-key"})
            assert connection.getresponse().read()
            connection.close()
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == "GET /api/gateway/models 200 0 bytes\n"
    assert err == ""
