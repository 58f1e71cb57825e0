"""Replies that tests script: exact text, tool calls, chunks or bytes, every error by name, each with faults at will."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from kilocode_gateway.local.chat import Answer, Envelope, chunks, completion, dump, events, merged
from kilocode_gateway.local.failures import FORMS, ErrorForm
from kilocode_gateway.local.faults import Faults, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Unpack

    from kilocode_gateway.local.faults import Modifiers, RawModifiers


@dataclass(frozen=True, slots=True)
class Shape:
    """How a path writes its answers."""

    whole: Callable[[Answer, Envelope], dict[str, Any]]
    chunks: Callable[[Answer, Envelope], list[dict[str, Any]]]


CHAT = Shape(completion, chunks)


@dataclass(frozen=True, slots=True)
class Context:
    """What a reply is rendered for."""

    stream: bool
    envelope: Envelope
    comment: str = "KILO PROCESSING"
    count: Callable[[Answer], None] = lambda _answer: None
    """Adds the answer's tokens and cost to the envelope's usage."""
    shape: Shape = CHAT


JSON = {"content-type": "application/json", "content-encoding": "identity"}
STREAM = {"content-type": "text/event-stream", "content-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the local gateway, for `LocalGateway.script`.

    Every constructor takes the fields of `Faults` as keyword arguments: delays, cuts, resets, stalls, splits, headers.
    """

    render: Callable[[Context], Rendered] | None
    """Makes the bytes; None stands for the gateway's ordinary reply."""
    faults: Faults
    about: str = ""

    ERRORS: ClassVar[Mapping[str, int]] = MappingProxyType({name: form.status for name, form in FORMS.items()})
    """The names that `Reply.error` knows, each with its status; `Reply.error_form` tells more."""

    def __repr__(self) -> str:
        return f"<Reply {self.about}>"

    @classmethod
    def text(
        cls,
        text: str | None = "",
        *,
        reasoning: str = "",
        reasoning_details: list[dict[str, Any]] | None = None,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        annotations: list[dict[str, Any]] | None = None,
        images: list[dict[str, Any]] | None = None,
        refusal: str | None = None,
        finish_reason: str | None = None,
        usage: dict[str, Any] | None = None,
        model: str | None = None,
        provider: str | None = None,
        done: bool = True,
        comments: int = 1,
        **faults: Unpack[Modifiers],
    ) -> Reply:
        """Answer with a text, as JSON or as a stream, whichever the request asks for.

        Args:
            text: The content.
            reasoning: Thoughts that come first; their details carry a signature, unless `reasoning_details` are given.
            reasoning_details: Exactly these blocks; [] for none.
            tool_calls: Each {"name", "arguments": JSON text or an object, "id": made up unless given}.
            annotations: The message's annotations.
            images: The message's images.
            refusal: The message's refusal.
            finish_reason: "tool_calls" with calls, else "stop", unless given.
            usage: Exactly this; counted unless given.
            model: The model that served; the requested one unless given.
            provider: The upstream's name.
            done: Whether a stream ends with [DONE].
            comments: How many keep-alive comments stand before the first chunk.
            **faults: See `Faults`.

        """
        answer = Answer(
            text,
            reasoning,
            reasoning_details,
            tool_calls,
            annotations,
            images,
            refusal,
            finish_reason,
            usage,
            model,
            provider,
        )
        return cls(
            lambda context: render_answer(answer, context, done=done, comments=comments),
            Faults(**faults),
            f"text {text!r:.40}",
        )

    @classmethod
    def chunks(
        cls,
        parts: Iterable[Mapping[str, Any] | str | bytes],
        *,
        done: bool = True,
        comments: int = 1,
        **faults: Unpack[Modifiers],
    ) -> Reply:
        """Answer with exactly these chunks; a request without stream gets them put together into one completion.

        Args:
            parts: Objects become events; text and bytes go out as they are, between events.
            done: Whether [DONE] follows.
            comments: How many keep-alive comments stand before the first chunk.
            **faults: See `Faults`.

        """
        kept = list(parts)

        def render(context: Context) -> Rendered:
            if not context.stream:
                return Rendered(200, dict(JSON), [dump(merged(kept, context.envelope)).encode()])
            return Rendered(200, dict(STREAM), events(kept, done=done, comments=comments, comment=context.comment))

        return cls(render, Faults(**faults), f"{len(kept)} chunks")

    @classmethod
    def raw(
        cls,
        status: int,
        body: bytes | str | dict[str, Any] | list[Any] = b"",
        headers: Mapping[str, str] | None = None,
        **faults: Unpack[RawModifiers],
    ) -> Reply:
        """Answer with exactly this: a body that is an object becomes JSON; its content type is guessed unless given."""
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else dump(body)).encode()
        named = {name.lower(): value for name, value in (headers or {}).items()}
        kind = _guess(data)
        all_headers = {**({"content-type": kind} if kind else {}), **named}
        rendered = Rendered(status, all_headers, [data])
        return cls(lambda _context: rendered, Faults(**faults), f"{status}, {len(data)} bytes")

    @classmethod
    def error(cls, name: str, **faults: Unpack[Modifiers]) -> Reply:
        """Answer with one of the gateway's errors. Raises ValueError for a name that `Reply.ERRORS` lacks."""
        form = cls.error_form(name)

        def render(context: Context) -> Rendered:
            if form.stream is not None and context.stream:
                return Rendered(
                    200, dict(STREAM), events(form.stream(context.envelope), done=form.done, comment=context.comment)
                )
            return Rendered(form.status, dict(form.headers), [form.body_bytes(context.envelope)])

        return cls(render, Faults(**faults), name)

    @classmethod
    def error_form(cls, name: str) -> ErrorForm:
        """Tell status, headers, body and origin of an error by its name."""
        try:
            return FORMS[name]
        except KeyError:
            raise ValueError(f"expected one of {', '.join(FORMS)}, got {name!r}") from None

    @classmethod
    def ordinary(cls, **faults: Unpack[Modifiers]) -> Reply:
        """Answer as the gateway does without a script, with these faults."""
        return cls(None, Faults(**faults), "ordinary")


def render_answer(answer: Answer, context: Context, *, done: bool = True, comments: int = 1) -> Rendered:
    """Write an answer as JSON or as a stream."""
    context.count(answer)
    if not context.stream:
        return Rendered(200, dict(JSON), [dump(context.shape.whole(answer, context.envelope)).encode()])
    pieces = events(
        context.shape.chunks(answer, context.envelope), done=done, comments=comments, comment=context.comment
    )
    return Rendered(200, dict(STREAM), pieces)


def _guess(data: bytes) -> str | None:
    start = data.lstrip()[:8]
    if not start:
        return None
    if start.startswith((b"data:", b": ", b"event:", b"id:")):
        return "text/event-stream"
    if start.startswith(b"<"):
        return "text/html; charset=utf-8"
    return "application/json" if start[:1] in b'{["' else "text/plain"
