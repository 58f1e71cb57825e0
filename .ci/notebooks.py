"""Run the notebooks as somebody without a key does, and write into them what they print.

`.ci/notebooks.py` runs every notebook and writes it. With paths it runs those; with `--check` it writes nothing, prints
how what a run gives differs from what the notebook shows, and exits with 1 where it does.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

FOLDER = Path(__file__).parent.parent / "notebooks"
SECONDS_A_CELL = 300
SETTINGS = ("KILO", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LLAMA_", "MPLBACKEND")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""All that a notebook says of where it was run."""


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run a notebook in a folder, with no key, no settings and no cache, and put its outputs into it."""
    if any("matplotlib" in cell.source for cell in notebook.cells):
        # The first use on a machine looks for fonts, and says so in the notebook if that takes long.
        import matplotlib.font_manager  # noqa: F401
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith((*SETTINGS, *PROXIES))}
    with tempfile.TemporaryDirectory() as fresh:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            coalesce_streams=True,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # else the kernel remarks that it listens on loopback
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute(env={**kept, "KILOCODE_CACHE_DIR": fresh, "IPYTHONDIR": fresh})


def clean(notebook: NotebookNode) -> None:
    """Leave nothing in a notebook but its text, its code and its outputs; cells are named by their places."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for position, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{position:02}", nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})


def shown(notebook: NotebookNode) -> Iterator[str]:
    """Give what a reader sees of the outputs, line by line; of a picture only that it is there."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            name = output.get("name") or output.output_type
            for kind, value in sorted(output.get("data", {"": output.get("text", "")}).items()):
                text = "(a picture)" if kind.startswith("image/") else str(value)
                yield from (f"{cell.id} {name} {kind}: {line}" for line in text.splitlines())


def main() -> int:
    """Run notebooks, and write or compare what they print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where outputs differ")
    parser.add_argument("--folder", type=Path, help="where to run; the notebook's own folder unless given")
    given = parser.parse_args()
    differences: list[str] = []
    for path in given.paths:
        notebook = nbformat.read(path, as_version=4)
        before = list(shown(notebook))
        run(notebook, given.folder or path.parent)
        clean(notebook)
        if given.check:
            differences += difflib.unified_diff(before, list(shown(notebook)), path.name, "a run", lineterm="", n=0)
        else:
            nbformat.write(notebook, path)
            sys.stdout.write(f"{path.name}\n")
    sys.stdout.writelines(f"{line}\n" for line in differences)
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
