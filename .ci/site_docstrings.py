"""Lets the classes' docstrings, which are reference pages with sections of their own, show as such on the site."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_SECTION = re.compile(r"^(?!Args:|Returns:|Raises:)([A-Z][^:\n]*):\n((?:\n|    .*(?:\n|\Z))+)", re.MULTILINE)
_SETTING = re.compile(r"^([a-z][\w, `.]*): ", re.MULTILINE)


class Sections(griffe.Extension):
    """Makes headings of a class docstring's sections, and lists of the settings in them."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Rewrite a docstring before it is parsed."""
        if cls.docstring is not None:
            cls.docstring.value = _SECTION.sub(_as_heading, cls.docstring.value)


def _as_heading(match: re.Match[str]) -> str:
    title, body = match[1], textwrap.dedent(match[2])
    if title.startswith("Key "):
        body = _SETTING.sub(r"- **\1**: ", body)
    return f"# {title}\n\n{body}\n"
