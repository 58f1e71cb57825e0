"""Reads what the gateway answers: a whole reply, or a stream chunk by chunk, in one form for both frameworks."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from kilocode_gateway.wire.reasoning import ReasoningAssembler, replay_fields, text_of
from kilocode_gateway.wire.tool_calls import ToolCall, ToolCallAssembler, ToolCallDelta, read_tool_calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Completion", "Delta", "StreamReader", "ToolCall", "ToolCallDelta", "Usage", "error_in", "read_completions"]

_NOTHING: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer used, as the gateway counts it."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_tokens: int | None = None
    """Part of the input that came from the provider's cache. None when it was not told."""
    cache_write_tokens: int | None = None
    """Part of the input that was put into the provider's cache."""
    reasoning_tokens: int | None = None
    """Part of the output that was reasoning."""
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    cost: Decimal | None = None
    """USD; None when the gateway does not tell, as for some free models."""
    is_byok: bool | None = None
    """Whether the user's own provider key paid. `cost` is then small, and `cost_details` holds the provider's."""
    cost_details: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The usage as it came."""

    @classmethod
    def read(cls, usage: object, gateway_cost: object = None) -> Usage | None:
        """Read the `usage` of a reply, with any of its fields missing; None when there is none."""
        if not isinstance(usage, dict) or not usage:
            return None
        prompt, completion = _dict(usage.get("prompt_tokens_details")), _dict(usage.get("completion_tokens_details"))
        input_tokens, output_tokens = _int(usage.get("prompt_tokens")) or 0, _int(usage.get("completion_tokens")) or 0
        total = _int(usage.get("total_tokens"))
        byok = usage.get("is_byok")
        return cls(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens if total is None else total,
            cache_read_tokens=_int(prompt.get("cached_tokens")),
            cache_write_tokens=_int(prompt.get("cache_write_tokens")),
            reasoning_tokens=_int(completion.get("reasoning_tokens")),
            audio_input_tokens=_int(prompt.get("audio_tokens")),
            audio_output_tokens=_int(completion.get("audio_tokens")),
            cost=_money(usage.get("cost", gateway_cost)),
            is_byok=byok if isinstance(byok, bool) else None,
            cost_details=_dict(usage.get("cost_details")),
            raw=usage,
        )


@dataclass(slots=True)
class Delta:
    """What one piece of a streamed answer brings.

    The last one of a stream, and only it, carries `finish_reason`, and `usage` where the gateway told it.
    """

    text: str = ""
    reasoning: str = ""
    """Readable reasoning, never doubled although the wire carries it in several forms."""
    reasoning_details: Sequence[dict[str, Any]] = _NOTHING
    """Pieces of signed or encrypted reasoning blocks, as they came."""
    tool_calls: Sequence[ToolCallDelta] = _NOTHING
    annotations: Sequence[dict[str, Any]] = _NOTHING
    images: Sequence[dict[str, Any]] = _NOTHING
    audio: dict[str, Any] | None = None
    refusal: str = ""
    logprobs: Any = None
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The chunk as it came."""


@dataclass(slots=True)
class Completion:
    """A whole answer: one choice of a reply, or a stream put together."""

    id: str = ""
    model: str = ""
    """The model that answered, as the gateway names it. For `kilo/auto` this is another one than was asked."""
    requested_model: str = ""
    """The model id as the user wrote it."""
    provider: str | None = None
    created: int | None = None
    index: int = 0
    """Which of the reply's choices this is."""
    text: str = ""
    reasoning: str = ""
    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    replay: dict[str, Any] = field(default_factory=dict)
    """The reasoning fields that the assistant's message must carry when it goes back, as they were on the wire."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    audio: dict[str, Any] | None = None
    refusal: str = ""
    logprobs: Any = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: Usage | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The whole reply as it came; for a stream, the reply that would have said the same at once."""


def error_in(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the error that a 200 carries after all, in a body or a stream event, with or without choices."""
    if payload.get("error"):
        return payload
    for choice in payload.get("choices") or _NOTHING:
        if isinstance(choice, dict):
            if choice.get("error"):
                return {**payload, "error": choice["error"]}
            if choice.get("finish_reason") == "error":
                return {**payload, "error": {"message": "The provider ended the answer with an error", "code": 502}}
    return None


def read_completions(payload: dict[str, Any], requested_model: str) -> list[Completion]:
    """Read a whole reply: one `Completion` for each choice, the usage with the first.

    Raises:
        ValueError: If the reply has no choice with a message.

    """
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        msg = "no choices"
        raise ValueError(msg)
    return [_read_choice(payload, choice, position, requested_model) for position, choice in enumerate(choices)]


def _read_choice(payload: dict[str, Any], choice: object, position: int, requested_model: str) -> Completion:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        msg = "a choice without a message"
        raise ValueError(msg)  # noqa: TRY004 - the reply is wrong, not an argument
    text, images = _content(message.get("content"))
    gateway = _gateway_metadata(message) or _gateway_metadata(payload)
    details = [item for item in message.get("reasoning_details") or _NOTHING if isinstance(item, dict)]
    plain, content = message.get("reasoning"), message.get("reasoning_content")
    id_ = _str(payload.get("id"))
    index = choice.get("index")
    return Completion(
        id=id_,
        model=_str(payload.get("model")) or requested_model,
        requested_model=requested_model,
        provider=_str(payload.get("provider")) or gateway.get("provider"),
        created=_int(payload.get("created")),
        index=index if isinstance(index, int) else position,
        text=text,
        reasoning=_str(plain) or _str(content) or text_of(details),
        reasoning_details=details,
        replay=replay_fields(details, content, plain),
        tool_calls=read_tool_calls(message, id_),
        annotations=_dicts(message.get("annotations")),
        images=[*images, *_dicts(message.get("images"))],
        audio=message.get("audio") if isinstance(message.get("audio"), dict) else None,
        refusal=_str(message.get("refusal")),
        logprobs=choice.get("logprobs"),
        finish_reason=_str(choice.get("finish_reason")) or None,
        native_finish_reason=_str(choice.get("native_finish_reason")) or None,
        system_fingerprint=_str(payload.get("system_fingerprint")) or None,
        service_tier=_str(payload.get("service_tier")) or None,
        usage=Usage.read(payload.get("usage"), gateway.get("cost")) if position == 0 else None,
        raw=payload,
    )


class StreamReader:
    """Reads a stream chunk by chunk and keeps what the whole answer needs. It does no I/O.

    Only a finish reason proves that the answer is complete: `[DONE]` may be missing, or come without one.
    """

    __slots__ = ("_audio", "_finish", "_fields", "_gateway", "_logprobs", "_native_finish", "_texts", "annotations", "images", "reasoning", "refusals", "tool_calls", "usage")

    def __init__(self) -> None:
        self.reasoning = ReasoningAssembler()
        self.tool_calls = ToolCallAssembler()
        self.annotations: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.usage: dict[str, Any] | None = None
        self._texts: list[str] = []
        self._fields: dict[str, Any] = {}
        self._gateway: dict[str, Any] = {}
        self._audio: dict[str, Any] | None = None
        self._logprobs: dict[str, Any] | None = None
        self._finish: str | None = None
        self._native_finish: str | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._texts)

    @property
    def is_complete(self) -> bool:
        """Whether a finish reason came."""
        return self._finish is not None

    def read(self, chunk: dict[str, Any]) -> Delta | None:
        """Take the next chunk; None when it brings nothing to hand on."""
        if "id" not in self._fields or "model" not in self._fields:
            self._read_head(chunk)
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list) or not isinstance(choices[0], dict) or choices[0].get("index"):
            return None
        choice = choices[0]
        if self._finish is None and choice.get("finish_reason"):
            self._finish, self._native_finish = str(choice["finish_reason"]), choice.get("native_finish_reason")
            self._read_tail(chunk)
        delta = choice.get("delta") or choice.get("message")
        return self._read_delta(delta, choice, chunk) if isinstance(delta, dict) else None

    def last(self) -> Delta:
        """Give the closing piece: the finish reason and the usage."""
        return Delta(finish_reason=self._finish, usage=Usage.read(self.usage, self._gateway.get("cost")), raw=self._usage_chunk())

    def completion(self, requested_model: str) -> Completion:
        """Give the whole answer."""
        fields = self._fields
        answer = Completion(
            id=_str(fields.get("id")),
            model=_str(fields.get("model")) or requested_model,
            requested_model=requested_model,
            provider=_str(fields.get("provider")) or self._gateway.get("provider"),
            created=_int(fields.get("created")),
            text=self.text,
            reasoning=self.reasoning.text,
            reasoning_details=self.reasoning.details,
            replay=self.reasoning.replay(),
            tool_calls=self.tool_calls.finish(),
            annotations=self.annotations,
            images=self.images,
            audio=self._audio,
            refusal="".join(self.refusals),
            logprobs=self._logprobs,
            finish_reason=self._finish,
            native_finish_reason=self._native_finish,
            system_fingerprint=_str(fields.get("system_fingerprint")) or None,
            service_tier=_str(fields.get("service_tier")) or None,
            usage=Usage.read(self.usage, self._gateway.get("cost")),
        )
        answer.raw = _as_reply(answer, self.usage)
        return answer

    def _read_head(self, chunk: dict[str, Any]) -> None:
        for name in ("id", "model", "provider", "created", "system_fingerprint", "service_tier"):
            if chunk.get(name) and name not in self._fields:
                self._fields[name] = chunk[name]
        self.tool_calls.reply_id = f"{self._fields.get('id', '')}_"

    def _read_tail(self, chunk: dict[str, Any]) -> None:
        for name in ("provider", "system_fingerprint", "service_tier"):
            if chunk.get(name):
                self._fields[name] = chunk[name]

    def _read_delta(self, delta: dict[str, Any], choice: dict[str, Any], chunk: dict[str, Any]) -> Delta | None:
        content = delta.get("content")
        if isinstance(content, str):
            text, images = content, _NOTHING
        else:
            text, images = _content(content)
        if text:
            self._texts.append(text)
            if len(delta) <= 2 and "content" in delta and not choice.get("logprobs"):  # noqa: PLR2004 - role and content: the common case
                return Delta(text=text, raw=chunk)
        reasoning = self.reasoning.add(delta)
        details = delta.get("reasoning_details") or _NOTHING
        calls = delta.get("tool_calls")
        if not calls and isinstance(delta.get("function_call"), dict):
            calls = [{"index": 0, "function": delta["function_call"]}]
        pieces = self.tool_calls.add(calls) if calls else _NOTHING
        annotations, images = _dicts(delta.get("annotations")), [*images, *_dicts(delta.get("images"))]
        refusal, audio, logprobs = _str(delta.get("refusal")), delta.get("audio"), choice.get("logprobs")
        if delta.get("provider_metadata"):
            self._gateway.update(_gateway_metadata(delta))
        if not (text or reasoning or details or pieces or annotations or images or refusal or audio or logprobs):
            return None
        self.annotations += annotations
        self.images += images
        if refusal:
            self.refusals.append(refusal)
        if isinstance(audio, dict):
            self._audio = _joined(self._audio, audio, ("data", "transcript"))
        if isinstance(logprobs, dict):
            self._logprobs = _joined(self._logprobs, logprobs, ("content", "refusal"))
        return Delta(text, reasoning, details, pieces, annotations, images, audio if isinstance(audio, dict) else None, refusal, logprobs, raw=chunk)

    def _usage_chunk(self) -> dict[str, Any]:
        choice = {"index": 0, "delta": {}, "finish_reason": self._finish, "native_finish_reason": self._native_finish}
        return {**self._fields, "object": "chat.completion.chunk", "choices": [choice], **({"usage": self.usage} if self.usage else {})}


def _as_reply(answer: Completion, usage: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, **answer.replay}
    if answer.reasoning:
        message.setdefault("reasoning", answer.reasoning)
    optional = {"refusal": answer.refusal, "annotations": answer.annotations, "images": answer.images, "audio": answer.audio}
    message.update({name: value for name, value in optional.items() if value})
    if answer.tool_calls:
        message["tool_calls"] = [call.as_message_part() for call in answer.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": answer.finish_reason,
        "native_finish_reason": answer.native_finish_reason,
        "logprobs": answer.logprobs,
    }
    head = {"id": answer.id, "object": "chat.completion", "created": answer.created, "model": answer.model, "provider": answer.provider}
    return {**{name: value for name, value in head.items() if value}, "choices": [choice], **({"usage": usage} if usage else {})}


def _gateway_metadata(holder: dict[str, Any]) -> dict[str, Any]:
    """Read what the Vercel route adds to a message: who answered, and the cost (server source, 2026)."""
    gateway = _dict(_dict(holder.get("provider_metadata")).get("gateway"))
    found = {"provider": _str(_dict(gateway.get("routing")).get("finalProvider")), "cost": gateway.get("cost")}
    return {name: value for name, value in found.items() if value}


def _content(content: object) -> tuple[str, list[dict[str, Any]]]:
    """Read content that came as a string, as nothing, or as a list of parts."""
    if isinstance(content, str):
        return content, []
    parts = _dicts(content)
    text = "".join(_str(part.get("text")) for part in parts if part.get("type") in ("text", "output_text"))
    return text, [part for part in parts if part.get("type") in ("image_url", "image")]


def _joined(old: dict[str, Any] | None, new: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if old is None:
        return dict(new)
    for name, value in new.items():
        old[name] = old[name] + value if name in names and old.get(name) and value else value if value is not None else old.get(name)
    return old


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else None  # noqa: PLR0124 - not NaN


def _money(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
