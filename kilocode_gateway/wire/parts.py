"""What a conversation holds beside text, read from the wire's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KINDS = {"image_url": "image", "input_audio": "audio", "video_url": "video", "file": "file"}
"""Types of parts, and the modality that each needs."""


class Part(NamedTuple):
    """A part of a conversation that is no text."""

    kind: str
    """What it needs of the model: `image`, `audio`, `video` or `file`."""
    position: int
    """Which message it stands in, from 0."""
    role: str
    """The message's role."""


def parts_in(messages: Iterable[Any]) -> Iterator[Part]:
    """Give the parts of a conversation that are no text, in the wire's form, whatever the message's role.

    A data URL that holds no image is a file, under whatever name it is sent.
    """
    for position, message in enumerate(messages):
        content = message.get("content") if isinstance(message, (dict, Mapping)) else None
        if not isinstance(content, list):
            continue
        for part in content:
            kind = _KINDS.get(str(part.get("type"))) if isinstance(part, Mapping) else None
            if kind is not None:
                yield Part("file" if _is_hidden_file(part) else kind, position, str(message.get("role")))


def wants_native_files(body: Mapping[str, Any]) -> bool:
    """Say whether the request asks for OpenRouter's engine `native`, which is for models that take files themselves."""
    extra = body.get("extra_body")
    # They are merged in last.
    plugins = extra["plugins"] if isinstance(extra, Mapping) and "plugins" in extra else body.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else ():
        pdf = plugin.get("pdf") if isinstance(plugin, Mapping) and plugin.get("id") == "file-parser" else None
        if isinstance(pdf, Mapping) and pdf.get("engine") == "native":
            return True
    return False


def _is_hidden_file(part: Mapping[str, Any]) -> bool:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return isinstance(url, str) and url.startswith("data:") and not url.startswith("data:image/")
