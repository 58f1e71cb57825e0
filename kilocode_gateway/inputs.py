"""What a model cannot take is told before it is sent: images, audio, video and files, by what is known of it.

A request that holds none of them asks for nothing; one that does has the model list fetched where nothing at hand knows
its model. Where it is not certain, nothing is refused. The gateway passes such a request on, and the upstream router
answers 404 ("No endpoints found that support image input"), also for an image that a tool gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.discovery import FETCH_SECONDS
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.models import is_auto
from kilocode_gateway.wire.parts import Part, parts_in, wants_native_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kilocode_gateway.config import GatewayConfig
    from kilocode_gateway.errors import KiloCodeError
    from kilocode_gateway.model_map import ModelMap
    from kilocode_gateway.models import ModelInfo

_SHOWN = {"image": ("images", "an image"), "audio": ("audio", "audio"), "video": ("video", "a video")}
_ROUTERS = ("openrouter/", "~")
"""How ids begin behind which the upstream router chooses the model, today this one and tomorrow another."""
_MOST_SUGGESTED = 3


def first_not_taken(parts: Iterable[Part], info: ModelInfo, *, files_as_they_are: bool = False) -> Part | None:
    """Give the first part that a model certainly cannot take; None where it takes all, or may.

    Args:
        parts: What `parts_in` gave.
        info: What is known of the model. One that only stands for others, or of which nothing is told, takes all.
        files_as_they_are: Whether files must reach the model unread. Else the upstream router reads PDFs for any model
            (OpenRouter's documentation of PDF inputs, 2026), so that no file is refused.

    """
    if not _is_certain(info):
        return None
    takes = set(info.input_modalities)
    if "pdf" in takes or not files_as_they_are:
        takes.add("file")
    return next((part for part in parts if part.kind not in takes), None)


def look(body: Mapping[str, Any], config: GatewayConfig, http_client: Any = None) -> None:
    """Fetch the model list, where a request's parts call for facts of a model that nothing at hand knows.

    That happens once in a process, as `Catalog.discover` says; where it fails the request is sent as it is.
    """
    seconds = _seconds_to_look(body, config)
    if seconds is not None:
        Catalog.discover(config=config, timeout=seconds, http_client=http_client)


async def alook(body: Mapping[str, Any], config: GatewayConfig, http_async_client: Any = None) -> None:
    """Do what `look` does, without blocking the event loop."""
    seconds = _seconds_to_look(body, config)
    if seconds is not None:
        await Catalog.adiscover(config=config, timeout=seconds, http_async_client=http_async_client)


def _seconds_to_look(body: Mapping[str, Any], config: GatewayConfig) -> float | None:
    """Give how long to look, None where there is no reason to; what cannot be sent at all is refused elsewhere."""
    messages, others = body.get("messages"), body.get("fallback_models")
    if body.get("check_inputs") is False or not isinstance(messages, list):
        return None
    kinds = {part.kind for part in parts_in(messages)}
    if not kinds - (set() if wants_native_files(body) else {"file"}):
        return None
    models = [body.get("model"), *(others if isinstance(others, list) else ())]
    known = Catalog.at_hand(config)
    if not all(isinstance(model, str) for model in models) or all(model in known for model in models):
        return None
    limits = (body.get(name) for name in ("first_token_timeout", "total_timeout"))
    return min([FETCH_SECONDS, *(limit for limit in limits if isinstance(limit, int | float) and limit > 0)])


def check_inputs(
    body: Mapping[str, Any],
    models: Sequence[str],
    catalog: ModelMap,
    error: type[KiloCodeError] = ConfigurationError,
) -> None:
    """Refuse a request that none of the models it may go to can take.

    Args:
        body: The request, as the transport takes it.
        models: The model that is asked, and those that stand in for it, in any reference form.
        catalog: What is known of them; a model that is not in it may take anything.
        error: The class to raise.

    Raises:
        ConfigurationError: With the kind, the message and models that take it; `details` has them as well: `kind`,
            `message_index` and `models`.

    """
    messages = body.get("messages")
    parts = list(parts_in(messages)) if isinstance(messages, list) else []
    if not parts:
        return
    files_as_they_are = wants_native_files(body)
    first: tuple[ModelInfo, Part] | None = None
    for model in models:
        info = catalog.get(model)
        part = None if info is None else first_not_taken(parts, info, files_as_they_are=files_as_they_are)
        if info is None or part is None:
            return
        first = first or (info, part)
    if first is not None:
        info, part = first
        near = _taking({one.kind for one in parts}, info, catalog, files_as_they_are=files_as_they_are)
        text = _told(part, info, near, of=len(messages or ()), others=len(models) - 1)
        raise error(text, model=info.id, kind=part.kind, message_index=part.position, models=near)


def _is_certain(info: ModelInfo) -> bool:
    """Say whether a list of what goes in is told, and is that of the model that will answer."""
    stands_for_others = is_auto(info.id) or bool(info.routed_models) or info.id.startswith(_ROUTERS)
    return info.tells_inputs and not stands_for_others


def _taking(kinds: set[str], asked: ModelInfo, catalog: ModelMap, *, files_as_they_are: bool) -> list[str]:
    """Give models that take all of it: first what is free as well, then its maker's, then Kilo's favourites."""
    parts = [Part(kind, 0, "") for kind in kinds]
    fitting = [
        info
        for info in catalog.values()
        if _is_certain(info)
        and "text" in info.output_modalities
        and first_not_taken(parts, info, files_as_they_are=files_as_they_are) is None
    ]

    def far(info: ModelInfo) -> tuple[bool, bool, float]:
        favourite = float("inf") if info.preferred_index is None else info.preferred_index
        return (asked.is_free and not info.is_free, _maker(info) != _maker(asked), favourite)

    return [info.id for info in sorted(fitting, key=far)[:_MOST_SUGGESTED]]


def _maker(info: ModelInfo) -> str:
    return info.id.partition("/")[0]


def _told(part: Part, info: ModelInfo, near: list[str], *, of: int, others: int) -> str:
    many, one = _SHOWN.get(part.kind, ("files as they are", "a file"))
    takes = ", ".join(info.input_modalities)
    neither = " Nor do its fallback models take everything." if others else ""
    native = " leave the engine 'native' out of plugins," if part.kind == "file" else ""
    better = f"choose a model that does, such as {' or '.join(map(repr, near))}" if near else "choose another model"
    return (
        f"The model {info.id!r} takes no {many} (the gateway's list says: {takes}), and message {part.position + 1} of "
        f"{of} ({part.role}) holds {one}, so nothing was sent.{neither} Take it out,{native} or {better}. "
        "check_inputs=False sends it all the same."
    )
