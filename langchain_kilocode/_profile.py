"""What LangChain may know of a model: its profile, from the gateway's catalog."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from langchain_core.language_models import ModelProfile

from kilocode_gateway.models import is_auto

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilocode_gateway.models import ModelInfo

_NOT_THE_USERS = ("tool_choice", "reasoning_effort_levels")
"""What no auto model promises: most routed models know no required tool call, and the gateway sets the effort itself
(server source, 2026)."""


@cache
def _known_fields() -> frozenset[str]:
    # An older langchain-core warns about fields that it does not know.
    return frozenset(get_type_hints(ModelProfile))


def to_profile(info: ModelInfo, catalog: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """Give the profile of a model as a plain dict, with the fields that this langchain-core knows.

    What the gateway does not tell is left out: whether images and PDFs may stand in tool results, which effort is the
    default, whether weights are open. For an auto model only what each of its routed models keeps is said.
    """
    fields = _fields(info)
    if is_auto(info.id):
        routed = [_fields(found) for id_ in info.routed_models if (found := catalog.get(id_)) is not None]
        fields = {name: _common(value, [other.get(name) for other in routed]) for name, value in fields.items()}
        fields.update(dict.fromkeys(_NOT_THE_USERS), structured_output=False)
    return {name: value for name, value in fields.items() if value is not None and name in _known_fields()}


def _common(promised: Any, kept: list[Any]) -> Any:
    """Give the smaller of numbers, and nothing in place of a promise that some model breaks."""
    if promised is True:
        return None if any(value is False for value in kept) else True
    if type(promised) is int:
        return min([promised, *(value for value in kept if type(value) is int)])
    return promised


def _fields(info: ModelInfo) -> dict[str, Any]:
    parameters = info.supported_parameters
    images = info.supports_vision
    return {
        "name": info.name,
        "status": "deprecated" if info.expires else None,
        "release_date": _date(info.created),
        "max_input_tokens": info.context_window,
        "max_output_tokens": info.max_output_tokens,
        "text_inputs": "text" in info.input_modalities,
        "image_inputs": images,
        "image_url_inputs": images,
        "pdf_inputs": info.supports_pdf,
        "audio_inputs": info.supports_audio,
        "video_inputs": info.supports_video,
        "attachment": images or info.supports_pdf,
        "text_outputs": "text" in info.output_modalities,
        "image_outputs": "image" in info.output_modalities,
        "audio_outputs": "audio" in info.output_modalities,
        "video_outputs": "video" in info.output_modalities,
        "reasoning_output": info.supports_reasoning,
        "reasoning_effort_levels": list(info.reasoning_efforts) or None,
        "tool_calling": info.supports_tools,
        "tool_call_streaming": info.supports_tools,
        "tool_choice": info.supports_tool_choice if parameters else None,
        "structured_output": info.supports_structured_output,
        "temperature": "temperature" in parameters if parameters else None,
    }


def _date(created: int | None) -> str | None:
    try:
        return None if created is None else datetime.fromtimestamp(created, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return None
