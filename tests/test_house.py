"""The house's laws: who imports whom, what an import loads, what is public, how long things get, what stays out."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PACKAGES = ("kilocode_gateway", "langchain_kilocode", "llama_index_kilocode")
FRAMEWORKS = ("langchain", "langchain_core", "langchain_openai", "langgraph", "langsmith", "llama_index")

# Room of the core -> the rooms that it enters. It may also enter whatever those enter: arrows go downwards only.
ARROWS: dict[str, set[str]] = {
    "__main__": {"commands"},
    "commands": {"doctor", "account", "endpoints", "transport", "catalog", "local", "_version"},
    "doctor": {"account", "catalog"},
    "account": {"transport"},
    "endpoints": {"transport"},
    "transport": {"bodies", "catalog", "encoding", "fallbacks", "inputs", "options", "streams"},
    "encoding": {"errors"},
    "fallbacks": {"errors"},
    "inputs": {"catalog", "discovery", "errors", "models", "model_map", "wire"},
    "options": {"config", "models", "policy", "wire"},
    "streams": {"bodies", "usage", "wire", "sse", "http", "loops"},
    "bodies": {"wire", "sse", "http"},
    "catalog": {"cache", "models", "bundled", "listing", "model_map", "discovery"},
    "embedding_models": {"bundled", "model_map", "discovery", "known_models"},
    "discovery": {"flights", "http", "errors", "config"},
    "model_map": {"bundled", "cache", "known_models", "models", "tables"},
    "request_types": {"known_models"},
    "flights": {"errors"},
    "tables": {"models"},
    "listing": {"models"},
    "bundled": {"models"},
    "http": {"config", "errors", "error_bodies", "error_texts", "clients", "policy", "answers", "loops"},
    "answers": {"clients", "error_texts", "errors", "policy", "loops"},
    "policy": {"errors"},
    "wire": {"errors", "models"},
    "clients": {"errors", "loops"},
    "error_bodies": {"error_texts", "errors"},
    "error_texts": {"errors", "policy", "hidden"},
    "cache": {"errors"},
    "sse": {"errors"},
    "models": {"errors"},
    "usage": {"errors"},
    "config": {"hidden"},
    "hidden": {"errors"},
    "openai_errors": {"errors"},
    "pytest_plugin": {"catalog", "local"},
    "known_models": set(),
    "loops": set(),
    "errors": set(),
    "local": set(),
    "_version": set(),
}
# The public face names every room but these, and imports each when it is first used.
NOT_IN_THE_FACE = {"__main__", "commands", "openai_errors", "pytest_plugin"}

# Room of the core -> the distributions that it uses beside the standard library.
CORE_OUTSIDE: dict[str, set[str]] = {
    "http": {"httpx", "httpx2"},
    "clients": {"httpx", "httpx2"},
    "cache": {"platformdirs"},
    "openai_errors": {"openai"},
    "pytest_plugin": {"pytest"},
}
# pydantic stands where langchain-core's classes demand its fields, and on Python 3.11 it demands typing_extensions'
# TypedDict; LlamaIndex hands its own pydantic out (llama_index.core.bridge.pydantic).
OUTSIDE: dict[str, tuple[str, ...]] = {
    "langchain_kilocode": ("kilocode_gateway", "langchain_core", "langchain_openai", "pydantic", "typing_extensions"),
    "llama_index_kilocode": ("kilocode_gateway", "llama_index.core", "llama_index.llms.openai_like"),
}

# Module -> what it imports by name when it is asked to, and so must do without when that is not installed.
BY_NAME: dict[str, str] = {
    # ChatKiloCode needs langchain-core only; register() puts an entry into tables of langchain, where it is installed.
    "langchain_kilocode/_register.py": "langchain",
    # Its tables are looked up when they are asked for, so that a newer LlamaIndex without them can still be used.
    "llama_index_kilocode/_register.py": "llama_index.core",
}

FILE_LINES = 450
FUNCTION_LINES = 45
# Path, or path::function -> why it is longer.
LONGER: dict[str, str] = {}


class Import(NamedTuple):
    """One imported module, and where."""

    module: str
    place: str


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room(path: Path) -> str:
    """Name the room of a core file: a module's or a folder's name."""
    return path.relative_to(ROOT / "kilocode_gateway").parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[Import]:
    """List every import of a file, lazy and type-checking ones too, with `from package import module` resolved."""
    found = []
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            found += [Import(alias.name, place) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            found += [Import(_resolve(base, alias.name), place) for alias in node.names]
    return found


def _resolve(base: str, name: str) -> str:
    """Give base.name where that is a module of ours or a namespace's member, else base."""
    here = ROOT.joinpath(*base.split("."), name)
    ours = base.partition(".")[0] in PACKAGES and (here.is_dir() or here.with_suffix(".py").is_file())
    return f"{base}.{name}" if ours or base in {"llama_index", "llama_index.llms"} else base


def below(name: str) -> set[str]:
    """Give every room that a room may enter: by its own arrows and by those of the rooms it enters."""
    seen: set[str] = set()
    waiting = set(ARROWS[name])
    while waiting:
        step = waiting.pop()
        seen.add(step)
        waiting |= ARROWS[step] - seen
    return seen


CORE = [path for path in sources("kilocode_gateway") if room(path) != "__init__"]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT / "kilocode_gateway")))
def test_core_rooms_import_downwards_only(path: Path) -> None:
    here = room(path)
    assert here in ARROWS, f"{here} is a new room of the core: draw its arrows in ARROWS of {Path(__file__).name}"
    allowed = below(here) | {here}
    for module, place in imports(path):
        parts = module.split(".")
        if parts[0] != "kilocode_gateway":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        assert target in allowed, f"{place}: {here} may import {sorted(allowed)} of the core, not {target}"


def test_the_face_names_only_rooms_that_every_user_may_enter() -> None:
    for module, place in imports(ROOT / "kilocode_gateway" / "__init__.py"):
        target = module.removeprefix("kilocode_gateway.").split(".")[0]
        assert target not in NOT_IN_THE_FACE, f"{place}: {target} is not for the public face"


def test_arrows_have_no_circle() -> None:
    for name in ARROWS:
        assert name not in below(name), f"{name} can be reached from itself"


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT / "kilocode_gateway")))
def test_core_uses_little_beside_the_standard_library(path: Path) -> None:
    allowed = sys.stdlib_module_names | CORE_OUTSIDE.get(room(path), set()) | {"kilocode_gateway"}
    for module, place in imports(path):
        top = module.split(".")[0]
        assert top in allowed, (
            f"{place}: {top} is not for this room; beside the standard library it has {CORE_OUTSIDE.get(room(path))}"
        )


@pytest.mark.parametrize("package", OUTSIDE)
def test_integrations_import_their_framework_and_the_core(package: str) -> None:
    allowed = (package, *OUTSIDE[package])
    for path in sources(package):
        for module, place in imports(path):
            known = module.split(".")[0] in sys.stdlib_module_names
            known = known or any(module == name or module.startswith(f"{name}.") for name in allowed)
            assert known, f"{place}: {package} may import {allowed}, not {module}"


@pytest.mark.parametrize("package", OUTSIDE)
def test_integrations_import_nothing_else_by_name(package: str) -> None:
    for path in sources(package):
        name = str(path.relative_to(ROOT))
        by_name = {"importlib.import_module", "import_module", "__import__"}
        calls = (ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
        assert name in BY_NAME or not by_name & set(calls), f"{name} imports by name: give the reason in BY_NAME"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_complete_and_sorted(package: str) -> None:
    module = importlib.import_module(package)
    face = ROOT / package / "__init__.py"
    assert list(module.__all__) == sorted(set(module.__all__), key=_in_order), f"{package}.__all__ is not in order"
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module), f"{name} is missing from dir({package})"
    inside = {
        alias.asname or alias.name
        for node in ast.walk(tree(face))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package
        for alias in node.names
    }
    assert {name for name in inside if not name.startswith("_")} == set(module.__all__) - {"__version__"}


def _in_order(name: str) -> tuple[int, str]:
    """Order as ruff does: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_every_error_is_public() -> None:
    import kilocode_gateway
    from kilocode_gateway import errors

    tree_of_errors = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.KiloCodeError)
    }
    assert tree_of_errors <= set(kilocode_gateway.__all__)


def loaded(code: str) -> set[str]:
    """Run code in a fresh process and list the top-level names of the modules that it loaded."""
    show = "; import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import kilocode_gateway", {"openai", "pydantic", "httpx", "httpx2", "platformdirs", *FRAMEWORKS}),
        ("from kilocode_gateway import KiloCodeError", {"openai", "pydantic", "httpx", "httpx2", *FRAMEWORKS}),
        ("from kilocode_gateway import Catalog, LocalGateway", {"openai", "pydantic", *FRAMEWORKS}),
        ("import kilocode_gateway.pytest_plugin", {"openai", "pydantic", "httpx", "httpx2", *FRAMEWORKS}),
        ("import langchain_kilocode", {"langchain", "llama_index", "llama_index_kilocode"}),
        ("import llama_index_kilocode", {"langchain", "langchain_core", "langchain_openai", "langchain_kilocode"}),
    ],
)
def test_a_fresh_import_loads_nothing_that_it_does_not_need(code: str, absent: set[str]) -> None:
    needless = loaded(code) & absent
    assert not needless, f"{code} loaded {sorted(needless)}"


def test_llama_index_names_lead_to_the_same_classes() -> None:
    import llama_index_kilocode

    llms = importlib.import_module("llama_index.llms.kilocode")
    embeddings = importlib.import_module("llama_index.embeddings.kilocode")
    assert llms.KiloCode is llama_index_kilocode.KiloCode
    assert llms.KiloCodeFIM is llama_index_kilocode.KiloCodeFIM
    assert embeddings.KiloCodeEmbedding is llama_index_kilocode.KiloCodeEmbedding


def tracked() -> list[Path]:
    """List the files that git knows, or would know after `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_files_keep_their_size() -> None:
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if path.suffix == ".py" and name not in LONGER:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= FILE_LINES, f"{name} has {lines} lines: split it, or give the reason in LONGER"


def test_functions_keep_their_size() -> None:
    for path in (path for package in PACKAGES for path in sources(package)):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1 - _docstring_lines(node)
            name = f"{path.relative_to(ROOT)}::{node.name}"
            if name not in LONGER:
                assert lines <= FUNCTION_LINES, f"{name} has {lines} lines: split it, or give the reason in LONGER"


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (first.end_lineno or 0) - first.lineno + 1


def test_longer_names_what_exists() -> None:
    for name in LONGER:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), f"LONGER names {path}, which is gone"
        assert not function or f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")


# Written with character classes of one letter, so that this file holds none of them.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.])/(?:[r]oot|[w]ork|[h]ome/\w+|[U]sers/\w+|[t]mp/dev)/",
    "a string that looks like an API key": r"\b[sp]k-[A-Za-z0-9_-]{6,}",
    "a string that looks like a token": r"\b[e]yJ[A-Za-z0-9_-]{10,}",
    "the host of a package registry": r"(?:[f]iles\.pythonhosted|[p]ypi|registry\.[n]pmjs)\.(?:org|com)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found = pattern.search(text)
        assert found is None, f"{path.relative_to(ROOT)} holds {what}: {found and found.group()!r}"


# Direct requirement -> why the lowest environment has a newer one than the floor.
ABOVE_THE_FLOOR = {
    "openai": "langchain-openai asks for a newer one; the environment with LlamaIndex alone runs on the floor",
}


def test_lowest_versions_are_the_floors() -> None:
    pins = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    for line in (*project["dependencies"], *extras):
        required = Requirement(line)
        if required.name == project["name"]:
            continue
        assert required.name in pins, f"tests/lowest.txt lacks {required.name}: run make lowest"
        pinned = Version(pins[required.name])
        floor = next(Version(one.version) for one in required.specifier if one.operator == ">=")
        assert pinned in required.specifier
        assert pinned == floor or required.name in ABOVE_THE_FLOOR, (
            f"{line}: tests/lowest.txt has {pinned}: run make lowest"
        )


def test_openai_has_no_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line for lines in project["optional-dependencies"].values() for line in lines]
    ours = [Requirement(line) for line in lines if Requirement(line).name == "openai"]
    assert [one.operator for required in ours for one in required.specifier] == [">="] * len(ours)
