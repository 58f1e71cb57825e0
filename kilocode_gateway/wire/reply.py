"""Reads what the gateway answers: a whole reply, or a stream chunk by chunk, in one form for both frameworks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kilocode_gateway.wire.reasoning import ReasoningAssembler, replay_fields, text_of
from kilocode_gateway.wire.tool_calls import ToolCall, ToolCallAssembler, ToolCallDelta, read_tool_calls
from kilocode_gateway.wire.values import Usage, as_dict, as_dicts, as_int, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Completion", "Delta", "StreamReader", "ToolCall", "ToolCallDelta", "Usage", "error_in", "read_completions"]

_T = TypeVar("_T")
_NOTHING: tuple[Any, ...] = ()


def _made_when_read(cls: type[_T]) -> type[_T]:
    """Let `raw` be given as a function and its argument, which are called when it is first read."""
    stored = vars(cls)["raw"]

    def read(piece: _T) -> Any:
        raw = stored.__get__(piece)
        if type(raw) is tuple:
            make, text = raw
            raw = make(text)
            stored.__set__(piece, raw)
        return raw

    type.__setattr__(cls, "raw", property(read, stored.__set__))
    return cls


@_made_when_read
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
    fallback_model: str | None = None
    """The id of the fallback model that was asked in the end; None where the model that was asked for answered."""
    failed_models: list[dict[str, Any]] = field(default_factory=list)
    """The models that had failed before, in order: each {"model", "error", "status", "code", "message"}."""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The whole reply as it came; for a stream, the reply that would have said the same at once."""


def error_in(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the error that a 200 carries after all, in a body or a stream event, with or without choices."""
    if payload.get("error"):
        return payload
    choices = payload.get("choices")
    for choice in choices if isinstance(choices, list) else _NOTHING:
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
    if isinstance(choice, dict) and message is None:
        message = _plain_message(choice)
    if not isinstance(choice, dict) or not isinstance(message, dict):
        msg = "a choice without a message"
        raise ValueError(msg)  # noqa: TRY004 - the reply is wrong, not an argument
    text, images = _content(message.get("content"))
    gateway = _gateway_metadata(message) or _gateway_metadata(payload)
    details = as_dicts(message.get("reasoning_details"))
    plain, content = message.get("reasoning"), message.get("reasoning_content")
    id_ = as_str(payload.get("id"))
    index = choice.get("index")
    return Completion(
        id=id_,
        model=as_str(payload.get("model")) or requested_model,
        requested_model=requested_model,
        provider=as_str(payload.get("provider")) or gateway.get("provider"),
        created=as_int(payload.get("created")),
        index=index if isinstance(index, int) else position,
        text=text,
        reasoning=as_str(plain) or as_str(content) or text_of(details),
        reasoning_details=details,
        replay=replay_fields(details, content, plain),
        tool_calls=read_tool_calls(message, f"{id_}_"),
        annotations=as_dicts(message.get("annotations")),
        images=[*images, *as_dicts(message.get("images"))],
        audio=message.get("audio") if isinstance(message.get("audio"), dict) else None,
        refusal=as_str(message.get("refusal")),
        logprobs=choice.get("logprobs"),
        finish_reason=as_str(choice.get("finish_reason")) or None,
        native_finish_reason=as_str(choice.get("native_finish_reason")) or None,
        system_fingerprint=as_str(payload.get("system_fingerprint")) or None,
        service_tier=as_str(payload.get("service_tier")) or None,
        usage=Usage.read(payload.get("usage"), gateway.get("cost")) if position == 0 else None,
        raw=payload,
    )


class StreamReader:
    """Reads a stream chunk by chunk and keeps what the whole answer needs. It does no I/O.

    Only a finish reason proves that the answer is complete: `[DONE]` may be missing, or come without one.
    """

    __slots__ = (
        "_audio",
        "_fields",
        "_finish",
        "_gateway",
        "_logprobs",
        "_native_finish",
        "_texts",
        "annotations",
        "images",
        "reasoning",
        "refusals",
        "tool_calls",
        "usage",
    )

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

    @property
    def has_begun(self) -> bool:
        """Whether anything of an answer came."""
        return bool(self._fields or self._texts or self.usage) or self.is_complete

    def read(self, chunk: dict[str, Any]) -> Delta | None:
        """Take the next chunk; None when it brings nothing to hand on."""
        if "id" not in self._fields or "model" not in self._fields:
            self._read_head(chunk)
        usage = chunk.get("usage")
        if usage and isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list):
            return None
        choice = choices[0]
        if not isinstance(choice, dict) or choice.get("index"):
            # Only the first answer is streamed on; its pieces may stand behind another's.
            found = (other for other in choices if isinstance(other, dict) and str(other.get("index", 0)) == "0")
            choice = next(found, None)
            if choice is None:
                return None
        if self._finish is None and choice.get("finish_reason"):
            self._finish = str(choice["finish_reason"])
            self._native_finish = as_str(choice.get("native_finish_reason")) or None
            self._read_tail(chunk)
        delta = choice.get("delta") or choice.get("message") or _plain_message(choice)
        return self._read_delta(delta, choice, chunk) if isinstance(delta, dict) else None

    def more_text(self, text: str, raw: Any) -> Delta:
        """Read a chunk that brings nothing but text, and nothing else that one before it has not brought."""
        self._texts.append(text)
        return Delta(text=text, raw=raw)

    def more_reasoning(self, text: str, raw: Any) -> Delta:
        """Read a chunk that is like the last one but for the text of its reasoning, as `rehearse` has said."""
        return Delta("", text, self.reasoning.add_more(text), [], [], [], None, "", None, None, None, raw)

    def last(self) -> Delta:
        """Give the closing piece: the finish reason and the usage."""
        return Delta(
            finish_reason=self._finish, usage=Usage.read(self.usage, self._gateway.get("cost")), raw=self._usage_chunk()
        )

    def completion(self, requested_model: str) -> Completion:
        """Give the whole answer."""
        fields = self._fields
        answer = Completion(
            id=as_str(fields.get("id")),
            model=as_str(fields.get("model")) or requested_model,
            requested_model=requested_model,
            provider=as_str(fields.get("provider")) or self._gateway.get("provider"),
            created=as_int(fields.get("created")),
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
            system_fingerprint=as_str(fields.get("system_fingerprint")) or None,
            service_tier=as_str(fields.get("service_tier")) or None,
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
            text, parts = content, list[dict[str, Any]]()
        else:
            text, parts = _content(content)
        if text:
            self._texts.append(text)
            if len(delta) == 1 + ("role" in delta) and not parts and not choice.get("logprobs"):
                return Delta(text=text, raw=chunk)
        reasoning = self.reasoning.add(delta)
        details = as_dicts(delta.get("reasoning_details"))
        calls = delta.get("tool_calls")
        if not calls and isinstance(delta.get("function_call"), dict):
            calls = [{"index": 0, "function": delta["function_call"]}]
        pieces = self.tool_calls.add(calls) if calls else []
        annotations, images = as_dicts(delta.get("annotations")), [*parts, *as_dicts(delta.get("images"))]
        refusal, audio, logprobs = as_str(delta.get("refusal")), as_dict(delta.get("audio")), choice.get("logprobs")
        if delta.get("provider_metadata"):
            self._gateway.update(_gateway_metadata(delta))
        if not (text or reasoning or details or pieces or annotations or images or refusal or audio or logprobs):
            return None
        self.annotations += annotations
        self.images += images
        if refusal:
            self.refusals.append(refusal)
        if audio:
            self._audio = _joined(self._audio, audio, ("data", "transcript"))
        if isinstance(logprobs, dict):
            self._logprobs = _joined(self._logprobs, logprobs, ("content", "refusal"))
        return Delta(text, reasoning, details, pieces, annotations, images, audio or None, refusal, logprobs, raw=chunk)

    def _usage_chunk(self) -> dict[str, Any]:
        choice = {"index": 0, "delta": {}, "finish_reason": self._finish, "native_finish_reason": self._native_finish}
        return {
            **self._fields,
            "object": "chat.completion.chunk",
            "choices": [choice],
            **({"usage": self.usage} if self.usage else {}),
        }


def _as_reply(answer: Completion, usage: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, **answer.replay}
    if answer.reasoning:
        message.setdefault("reasoning", answer.reasoning)
    optional = {
        "refusal": answer.refusal,
        "annotations": answer.annotations,
        "images": answer.images,
        "audio": answer.audio,
    }
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
    head = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "provider": answer.provider,
        "system_fingerprint": answer.system_fingerprint,
        "service_tier": answer.service_tier,
    }
    return {
        **{name: value for name, value in head.items() if value},
        "choices": [choice],
        **({"usage": usage} if usage else {}),
    }


def _plain_message(choice: dict[str, Any]) -> dict[str, Any] | None:
    """Give a choice's bare `text` as a message: one of the providers that fill gaps in code answers so (2026)."""
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else None


def _gateway_metadata(holder: dict[str, Any]) -> dict[str, Any]:
    """Read what the Vercel route adds to a message: who answered, and the cost (server source, 2026)."""
    gateway = as_dict(as_dict(holder.get("provider_metadata")).get("gateway"))
    found = {"provider": as_str(as_dict(gateway.get("routing")).get("finalProvider")), "cost": gateway.get("cost")}
    return {name: value for name, value in found.items() if value}


def _content(content: object) -> tuple[str, list[dict[str, Any]]]:
    """Read content that came as a string, as nothing, or as a list of parts."""
    if isinstance(content, str):
        return content, []
    parts = as_dicts(content)
    text = "".join(as_str(part.get("text")) for part in parts if part.get("type") in ("text", "output_text"))
    return text, [part for part in parts if part.get("type") in ("image_url", "image")]


def _joined(old: dict[str, Any] | None, new: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Add a piece of audio or of log probabilities to those before it."""
    # The chunks keep their own lists: these grow.
    copies = {name: list(value) if isinstance(value, list) else value for name, value in new.items()}
    if old is None:
        return copies
    for name, value in copies.items():
        if name in names and type(old.get(name)) is type(value) and isinstance(value, str | list):
            old[name] += value
        elif value is not None:
            old[name] = value
    return old
