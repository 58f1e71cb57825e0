"""Walks the built site: every link inside leads to a page and a place that exist, every other one to a known host."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

KNOWN_HOSTS = frozenset({"api.kilo.ai", "app.kilo.ai", "keepachangelog.com", "kilo.ai", "semver.org"})
"""Where the site's readers may be sent. Nobody is asked: no network is used here."""


class _Page(HTMLParser):
    """Collects what a page links to or loads, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src"):
                self.loads.append(value or "")


def faults(site: Path) -> list[str]:
    """Give what is wrong with a built site, one line each."""
    pages = {path: _Page(path) for path in sorted(site.resolve().rglob("*.html"))}
    found = []
    for page in pages.values():
        for target in (*page.links, *page.loads):
            reason = _fault(target, page, pages, site.resolve(), loaded=target in page.loads)
            if reason:
                found.append(f"{page.path.relative_to(site.resolve())}: {target!r} {reason}")
    return found if pages else [f"{site}: there is no page"]


def _fault(target: str, page: _Page, pages: dict[Path, _Page], site: Path, *, loaded: bool) -> str:
    parts = urlsplit(target)
    if parts.scheme == "data" and loaded:
        return ""
    if parts.scheme or parts.netloc:
        if loaded:
            return "is loaded from elsewhere"
        return (
            "" if parts.scheme == "https" and parts.hostname in KNOWN_HOSTS else "is no https address of a known host"
        )
    path = unquote(parts.path)
    # The page for what is not found is served under any address, so its links begin at the root.
    to = (site / path.lstrip("/") if path.startswith("/") else page.path.parent / path).resolve() if path else page.path
    if to.is_dir():
        to /= "index.html"
    if not to.is_file():
        return "leads nowhere"
    if parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].places:
        return "names a place that is not there"
    return ""


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or f"{sys.argv[1]}: every link leads somewhere")  # noqa: T201 - a script prints
    sys.exit(bool(wrong))
