"""What LangChain may know of a model: its profile, from the gateway's catalog."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from langchain_core.language_models import ModelProfile

if TYPE_CHECKING:
    from kilocode_gateway.models import ModelInfo


@cache
def _known_fields() -> frozenset[str]:
    # An older langchain-core warns about fields that it does not know.
    return frozenset(get_type_hints(ModelProfile))


def to_profile(info: ModelInfo) -> dict[str, Any]:
    """Give the profile of a model as a plain dict, with the fields that this langchain-core knows."""
    parameters = info.supported_parameters
    images = "image" in info.input_modalities
    fields = {
        "name": info.name,
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
        "tool_choice": "tool_choice" in parameters if parameters else None,
        "structured_output": "structured_outputs" in parameters,
        "temperature": "temperature" in parameters if parameters else None,
    }
    return {name: value for name, value in fields.items() if value is not None and name in _known_fields()}
