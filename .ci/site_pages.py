"""Hooks of MkDocs: the site's pages that are made of other files, so that nothing is written twice."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

from kilocode_gateway import wire
from kilocode_gateway.commands import parser

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "tests/lc/README.md": "measured/langchain.md",
    "tests/li/README.md": "measured/llama_index.md",
    "benchmarks/speed/README.md": "measured/speed.md",
    # The number says in which order they are read; it is no part of the address.
    **{f"notebooks/{path.name}": f"tutorials/{path.stem.split('_', 1)[-1]}.md" for path in NOTEBOOKS},
}
"""For each file of the repository that stands on the site, its page; those of `docs` are pages by themselves."""
SECTIONS = {
    "choose-a-model": "guides/models.md",
    "what-it-cost": "guides/cost.md",
    "when-it-fails": "guides/errors.md",
    "test-your-own-app-without-a-key": "guides/testing.md",
    "configuration": "reference/settings.md",
    "measured": "measured/summary.md",
}
"""For each section of the README to which another may link, the page that tells of the same."""

_FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https://|#)([^)#\s]+)(#[^)\s]*)?\)")
_INSIDE = re.compile(r"\]\(#([^)\s]+)\)")
_ASIDE = re.compile(r"^<!-- (README|tutorial|settings): (.*) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> None:
    """Put the tutorials into the navigation, after the home page."""
    config.nav.insert(1, {"Tutorials": [page for source, page in PAGES.items() if source.endswith(".ipynb")]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are files of the repository, and the command line's help."""
    for source, page in PAGES.items():
        if source.endswith(".ipynb"):
            text, pictures = _notebook(ROOT / source)
            for name, data in pictures.items():
                files.append(File.generated(config, f"tutorials/{name}", content=data))
        elif page == "index.md":
            continue
        else:
            text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, source, page)))
    files.append(File.generated(config, "reference/command_line.md", content=_help()))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Write what comments in a page ask for: `README: a section`, `tutorial: a number`, `settings: a table`."""
    write = {"README": _section, "tutorial": _tutorial, "settings": _settings}
    return _ASIDE.sub(lambda match: write[match[1]](match[2], page.file.src_uri), markdown)


def _section(title: str, page: str) -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^##? {re.escape(title)}\n.*?(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{page} wants the README's section {title!r}, which is not there")
    text = relinked(found[0], "README.md", page)
    return _INSIDE.sub(lambda link: f"]({_from(page, SECTIONS[link[1]])})" if link[1] in SECTIONS else link[0], text)


def _from(page: str, to: str) -> str:
    return os.path.relpath(to, Path(page).parent)


def _tutorial(number: str, page: str) -> str:
    path = next((path for path in NOTEBOOKS if path.name.startswith(number)), None)
    if path is None:
        raise ValueError(f"{page} wants the notebook {number}, which is not there")
    return relinked(f"More in [the tutorial]({path.relative_to(ROOT)}).", "README.md", page)


def _settings(name: str, _page: str) -> str:
    rows = "".join(f"| `{setting}` | {what} |\n" for setting, what in sorted(getattr(wire, name).items()))
    return f"| name | what it does |\n|---|---|\n{rows}"


def relinked(text: str, source: str, page: str) -> str:
    """Let a file's links to other files lead to their pages; what has no page is named.

    Args:
        text: Markdown.
        source: The file that it comes from, below the repository's root.
        page: The page where it will stand, below the site's root.

    """

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        path = os.path.normpath(Path(source).parent / target)
        if not (ROOT / path).exists():
            raise ValueError(f"{source} links to {target}, which is not there")
        if (ROOT / path).is_dir():
            path = f"{path}/index.md"
        there = path.removeprefix("docs/") if path.startswith("docs/") else PAGES.get(path)
        if there is not None:
            return f"[{words}]({_from(page, there)}{anchor})"
        return f"`{path}`" if words.strip("`") == path else f"{words} (`{path}`)"

    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in _FENCED.split(text))


def _notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Give a notebook as Markdown, with its outputs as they are saved, and its pictures."""
    text, resources = MarkdownExporter().from_filename(
        str(path), resources={"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
    )
    return text, resources["outputs"]


def _help() -> str:
    """Give the command line's help as a page."""
    found = re.search(r"^  command\n(.*?)\n\n", _printed([]), re.MULTILINE | re.DOTALL)
    names = re.findall(r"^    (\w+) ", found[1], re.MULTILINE)
    parts = [f"## {name}\n\n```text\n{_printed([name])}```\n" for name in names]
    return f"# Command line\n\n`python -m kilocode_gateway`\n\n```text\n{_printed([])}```\n\n" + "\n".join(parts)


def _printed(command: list[str]) -> str:
    told = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="100"), contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        parser.read([*command, "--help"])
    return told.getvalue()
