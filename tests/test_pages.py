"""The pages tell the truth: every code block of README and guides runs, and prints what it says."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmarks import capabilities

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!#)([^)#]+)(?:#[^)]*)?\)")
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
"""The documentation's own pages; the others of the site are made of files that are tested where they stand."""


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture
def local(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    monkeypatch.setenv("KILOCODE_API_KEY", gateway.api_key)
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    return gateway


@pytest.mark.parametrize("page", ["README.md", *DOCS])
def test_python_blocks_run_and_print_what_follows_them(page: str, local: LocalGateway) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for position, (language, code) in enumerate(blocks(page)):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as told:
                exec(compile(code, f"{page} block {position}", "exec"), namespace)
            printed = told.getvalue()
        elif language == "text":
            assert printed == code
    for name in [name for name in namespace if name.startswith("test_")]:
        local.clear()
        namespace[name](local)


def test_the_pages_show_code_and_what_it_prints() -> None:
    languages = {page: [language for language, _ in blocks(page)] for page in ("README.md", *DOCS)}
    assert languages["README.md"].count("text") == 2
    guides = [page for page in DOCS if page.startswith("docs/guides/") and not page.endswith("/index.md")]
    assert len(guides) >= 11
    assert [page for page in guides if not {"python", "sh"} & set(languages[page])] == []
    assert {language for found in languages.values() for language in found} <= {"python", "sh", "text"}


@pytest.mark.parametrize(
    "package", ["kilocode_gateway", "kilocode_gateway.local", "langchain_kilocode", "llama_index_kilocode"]
)
def test_every_public_name_stands_in_the_reference(package: str) -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in DOCS if "/reference/" in page)
    shown = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    assert len(shown) == len(set(shown))
    names = {name.rpartition(".")[2] for name in shown if name.startswith(f"{package}.")}
    assert set(importlib.import_module(package).__all__) - names <= {"__version__"}


def test_the_guides_tell_what_to_do_about_every_error() -> None:
    told = {
        name
        for page in ("errors", "structured_output")
        for name in re.findall(
            r"^\| `(\w+)` \|", (ROOT / "docs" / "guides" / f"{page}.md").read_text("utf-8"), re.MULTILINE
        )
    }
    public = {
        name
        for package in ("kilocode_gateway", "langchain_kilocode", "llama_index_kilocode")
        for name in importlib.import_module(package).__all__
        if name.endswith("Error")
    }
    assert told == public - {"KiloCodeError"}


def test_the_commands_of_the_pages_are_the_ones_that_exist(local: LocalGateway, cache_dir: Path) -> None:
    settings = {
        "PATH": "",
        "KILOCODE_API_KEY": local.api_key,
        "KILOCODE_BASE_URL": local.base_url,
        "KILOCODE_CACHE_DIR": str(cache_dir),
    }
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    seen = 0
    for page in ("README.md", "CONTRIBUTING.md", *DOCS):
        for language, code in blocks(page):
            if language != "sh":
                continue
            for line in code.splitlines():
                words = shlex.split(line)
                seen += 1
                if words[0] == "make":
                    assert words[1] in targets, line
                elif words[:3] == ["python", "-m", "kilocode_gateway"]:
                    _run_command(words[3:], settings)
                else:
                    _check_pip_line(words)
    assert seen >= 20


def _run_command(arguments: list[str], settings: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kilocode_gateway", *arguments],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def _check_pip_line(words: list[str]) -> None:
    """Every plain line names what is there: extras, groups, files, modules. `.ci/run` runs the installation itself."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for previous, word in zip(["", *words], words, strict=False):
        if match := re.fullmatch(r"\.\[([\w-]+)\]", word):
            assert f"\n{match[1]} = [" in project, words
        elif previous == "--group":
            assert f"\n{word} = [" in project, words
        elif word.endswith(".py"):
            assert (ROOT / word).exists(), words
    assert words[0] in ("python", ".venv/bin/pip", ".venv/bin/python"), words


def test_the_demo_answers_rightly_about_the_readme_without_a_key() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "local gateway" in lines[0]
    answers = [line for line in lines if line.startswith("  answer: ")]
    assert "six hours" in answers[0].replace("|", "")
    assert "KILOCODE_API_KEY" in answers[1]
    assert any(line.startswith("  source: ") and line.endswith("(README.md)") for line in lines)
    assert " calls: multiply(a=6, b=7)" in lines
    assert lines[-1].startswith("total: 7 calls")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_readme_counts_as_the_capability_tables_do() -> None:
    told = f"{capabilities.SUM_BEGIN}\n\n{capabilities.total()}\n\n{capabilities.SUM_END}"
    assert told in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "run: python -m benchmarks.capabilities sum --into README.md"
    )


@pytest.mark.parametrize("name", capabilities.TABLES)
def test_every_group_of_the_capability_tables_is_counted_once(name: str) -> None:
    page = (ROOT / "tests" / name / "README.md").read_text(encoding="utf-8")
    counted = [group for groups in capabilities.THEMES.values() for group in groups]
    assert len(counted) == len(set(counted))
    found = capabilities.groups(page)
    assert set(found) <= set(counted)
    rows = sum(len(rows) for rows in found.values())
    assert f"| **Yes, of {rows}** |" in page


TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", [path for path in TEMPLATES if path.stem != "config"], ids=lambda path: path.stem)
def test_a_template_asks_for_what_is_needed(path: Path) -> None:
    template = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(template) == {"name", "description", "labels", "body"}
    assert any(field.get("validations", {}).get("required") for field in template["body"])
    for field in template["body"]:
        assert field["attributes"]["label"]
        program = field["attributes"].get("placeholder", "")
        if field["attributes"].get("render") == "python" and program:
            exec(compile(program, f"{path.name}", "exec"), {})
