"""The notebooks tell the truth: each one shows what it prints for somebody without a key, and asks for one alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ON_RAY = "06_a_million_rows"
"""Needs Ray, so `tests/on_ray` runs it."""
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LINK = re.compile(r"\]\((?!#)([^)#]+)(?:#[^)]*)?\)")
MOST_CELLS = 20
MOST_PICTURE = 100_000
"""Characters of a picture in base64."""


def cells_of(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if kind in (None, cell["cell_type"])]


def first_code(path: Path) -> str:
    return "".join(cells_of(path, "code")[0]["source"])


def test_the_notebooks_are_there() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]


@EACH
def test_a_notebook_is_short_and_was_run_from_top_to_bottom(path: Path) -> None:
    assert len(cells_of(path)) <= MOST_CELLS
    code = cells_of(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert max((len(output.get("data", {}).get("image/png", "")) for output in outputs), default=0) < MOST_PICTURE


@EACH
def test_a_notebook_says_nothing_of_the_machine_that_ran_it(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{n:02}" for n in range(len(notebook["cells"]))]
    assert not any(cell["metadata"] for cell in notebook["cells"])
    shown = json.dumps([cell.get("outputs") for cell in notebook["cells"]])
    for trace in (r"\u001b", "127.0.0.1", "/home/", "/tmp/", "/Users/", str(ROOT)):
        assert trace not in shown


@EACH
def test_only_the_first_cell_knows_of_the_local_gateway_and_it_is_everywhere_the_same(path: Path) -> None:
    assert first_code(path) == first_code(NOTEBOOKS[0])
    rest = "\n".join("".join(cell["source"]) for cell in cells_of(path, "code")[1:])
    assert not re.search(r"\blocal\b|LocalGateway|Reply", rest)


@EACH
def test_the_list_of_notebooks_names_each(path: Path) -> None:
    assert f"]({path.name})" in (path.parent / "README.md").read_text(encoding="utf-8")


@EACH
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for cell in cells_of(path, "markdown"):
        for target in LINK.findall("".join(cell["source"])):
            assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != ON_RAY], ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_prints_without_a_key(path: Path) -> None:
    # From the root or from its own folder: every second one here, every second one there.
    folder = ROOT if int(path.name[:2]) % 2 == 0 else path.parent
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "notebooks.py"), "--check", "--folder", str(folder), str(path)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not done.returncode, f"{done.stdout}{done.stderr[-3000:]}\nIf this is right, `make notebooks` writes it."


FRONT_END = """
import json, sys
from jupyter_client.manager import run_kernel
asked, printed = [], []
def answer(message):
    asked.append((message["content"]["prompt"], message["content"]["password"]))
    client.input(sys.argv[2])
def keep(message):
    printed.extend(message["content"].get(name, "") for name in ("text", "ename"))
code = sys.argv[1] + "\\nprint(repr(os.environ['KILOCODE_API_KEY']), os.environ.get('KILOCODE_BASE_URL', '')[:17])"
with run_kernel(kernel_name="python3", extra_arguments=["--log-level=ERROR"]) as client:
    client.execute_interactive(code, allow_stdin=True, stdin_hook=answer, output_hook=keep, timeout=90)
print(json.dumps([asked, "".join(printed)]))
"""
"""What a notebook's front end does: it shows the question and sends what was typed."""

PROMPT = "Kilo API key (leave empty for the local gateway): "
LOCALLY = "No key: this notebook runs on a local gateway, which answers by rule and is no model.\n"


@pytest.mark.parametrize(
    ("setting", "typed", "asked", "printed"),
    [
        pytest.param({}, "", True, f"{LOCALLY}'local-key' http://127.0.0.1:\n", id="nothing typed"),
        pytest.param({}, " typed-key ", True, "'typed-key' \n", id="a key typed"),
        pytest.param({"KILO_API_KEY": "other-key"}, "", False, "'other-key' \n", id="the other variable"),
        pytest.param({"KILOCODE_API_KEY": "set-key"}, "", False, "'set-key' \n", id="the variable"),
    ],
)
def test_a_front_end_is_asked_for_the_key(
    setting: dict[str, str], typed: str, asked: bool, printed: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRONT_END, first_code(NOTEBOOKS[0]), typed],
        env={**os.environ, **setting, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == [[[PROMPT, True]] if asked else [], printed]


def test_the_first_cell_needs_no_front_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", first_code(NOTEBOOKS[0])],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # else it would ask at the terminal that the tests were started from
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == LOCALLY
