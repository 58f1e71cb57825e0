"""What is built holds what users need, and nothing else."""

from __future__ import annotations

import email.parser
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("kilocode_gateway", "langchain_kilocode", "llama_index_kilocode")
STRAY = (
    "__pycache__",
    ".pyc",
    ".env",
    ".pem",
    ".key",
    ".venv",
    ".pytest_cache",
    ".mypy_cache",
    ".hypothesis",
    "benchmarks/",
    ".git/",
)
NAMESPACE = ("llama_index/llms/kilocode", "llama_index/embeddings/kilocode")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel out of it, without a request to anywhere."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_packages_and_the_llama_index_names(wheel: zipfile.ZipFile) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"{folder}/{name}" for folder in NAMESPACE for name in ("__init__.py", "py.typed")}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_wheel_holds_no_stray_file(wheel: zipfile.ZipFile) -> None:
    places = {name.split("/")[0] for name in wheel.namelist()}
    info = next(place for place in places if place.endswith(".dist-info"))
    assert places == {*PACKAGES, "llama_index", info}
    assert {name.removeprefix(f"{info}/") for name in wheel.namelist() if name.startswith(info)} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    suffixes = {Path(name).suffix or Path(name).name for name in wheel.namelist() if not name.startswith(info)}
    assert suffixes <= {".py", ".json", ".typed"}
    assert not [name for name in wheel.namelist() if any(word in name for word in STRAY)]


def test_the_source_distribution_holds_tracked_files_only(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    assert names - {"PKG-INFO"} <= set(tracked)
    assert not [name for name in names if any(word in name for word in STRAY)]
    assert {name.partition("/")[0] for name in names} == {
        *(*PACKAGES, "namespace", "tests"),
        *("CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"),
    }


def test_each_package_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_the_wheel_names_its_extras_its_licence_and_its_pytest_plugin(wheel: zipfile.ZipFile) -> None:
    info = next(name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    metadata = email.parser.BytesParser().parsebytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Name"] == "kilocode-gateway"
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == {"langchain", "llama-index", "all"}
    plain = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert {line.partition(">")[0] for line in plain} == {"httpx", "platformdirs"}
    assert "kilocode_gateway.pytest_plugin" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def test_no_command_is_installed(wheel: zipfile.ZipFile) -> None:
    """The Kilo command line has the names that we might take."""
    info = next(name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    assert "console_scripts" not in wheel.read(f"{info}/entry_points.txt").decode()


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= names
    assert not any(name.startswith((".", "namespace/llama_index/__init__")) for name in names - {".gitignore"})
