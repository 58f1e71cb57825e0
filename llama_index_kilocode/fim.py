"""`KiloCodeFIM`: the Kilo Gateway's models that fill gaps in code, as an LLM of LlamaIndex."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Never, Unpack, cast

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.llm import LLM

from kilocode_gateway import usage, wire
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import hide_secrets
from kilocode_gateway.models import parse_model_ref
from kilocode_gateway.options import CallOptions
from kilocode_gateway.request_types import FIMSettings
from kilocode_gateway.transport import FIM
from kilocode_gateway.wire.fim import USUAL_MODEL, USUAL_TOKENS, check_fim, check_prompt, fim_body
from llama_index_kilocode._base import FALLBACK_CONTEXT_WINDOW
from llama_index_kilocode._checked import Checked
from llama_index_kilocode._events import astreamed, awhole, begun, listened, streamed, whole
from llama_index_kilocode._link import CLIENTS, HTTPTimeout, Link, Seconds
from llama_index_kilocode._replies import facts
from llama_index_kilocode._settings import check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llama_index.core.base.llms.types import ChatMessage, CompletionResponseAsyncGen, CompletionResponseGen
    from llama_index.core.callbacks import CallbackManager

    from kilocode_gateway.known_models import KnownFIMModel
    from kilocode_gateway.transport import Transport
    from kilocode_gateway.wire import Completion

_LIMITS = ("first_token_timeout", "total_timeout")
_SETTINGS = ("suffix", "max_tokens", "min_tokens", "temperature", "stop", *_LIMITS)
_PER_CALL = frozenset({"model", "timeout", *_SETTINGS})
"""What a call may set for itself."""


class _FIMSettings(FIMSettings, total=False):
    stop: str | list[str] | None
    timeout: float | tuple[float, float] | HTTPTimeout | None


class KiloCodeFIMCallSettings(_FIMSettings, total=False):
    """What a call of `KiloCodeFIM` takes, for editors and type checkers."""

    model: KnownFIMModel | str


class KiloCodeFIMSettings(_FIMSettings, total=False):
    """What `KiloCodeFIM` takes, for editors and type checkers. Each is documented at the class and its fields."""

    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    max_retries: int
    default_headers: dict[str, str] | None
    http_client: Any
    async_http_client: Any
    context_window: int | None
    system_prompt: str | None
    completion_to_prompt: Callable[[str], str] | None
    callback_manager: CallbackManager | None
    rate_limiter: Any


class KiloCodeFIM(Checked, LLM):
    r"""The Kilo Gateway's models that fill gaps in code: text before the gap in, text for the gap out.

    Setup:
        Install the package and set the key from your profile at app.kilo.ai. Without a key nothing is sent to the
        public gateway: it fills gaps only for those who sign in.

        ```bash
        pip install "kilocode-gateway[llama-index]"
        export KILOCODE_API_KEY="your-key"
        ```

    Key settings:
        model: Default `mistralai/codestral-2508`; the newest gateway also has `inception/mercury-edit-2`.
        suffix: The text after the gap.
        max_tokens: From 1 to 1000 (256). It is always sent, because the gateway asks for it.
        min_tokens, temperature: Not sent unless given. The gateway's server drops the temperature (source of 2026).
        stop: One text or several that end the answer.
        api_key, api_base, organization_id: From `KILOCODE_API_KEY`, `KILOCODE_BASE_URL` and `KILOCODE_ORGANIZATION_ID`
            unless given. Requests go to `/api/fim/completions` on that host. No `OPENAI_*` variable is ever read.
        feature: What the gateway's usage page calls this program; from `KILOCODE_FEATURE` unless given.
        timeout: Seconds for each read (600), or (connect, read), or an httpx `Timeout`; None waits for ever.
        first_token_timeout, total_timeout: Seconds for a whole call, retries and waits included (no limit); the first
            one for streams.
        max_retries: Attempts after the first, for errors that may pass (2).
        default_headers: Further headers of each request (none); neither shown nor in `to_dict`.
        http_client, async_http_client: Clients of httpx or httpx2 to use instead of the shared ones (none). They are
            never closed here.
        context_window: Tokens that fit into the model, instead of what is known without a request.
        system_prompt, completion_to_prompt, callback_manager, rate_limiter: As in every LLM of LlamaIndex.

        A call takes `model`, the settings of the answer and the time limits too; None takes a setting out. Unknown
        names and values that cannot be used are refused, wherever they are given.

    Instantiate:
        ```python
        from llama_index_kilocode import KiloCodeFIM

        fim = KiloCodeFIM(max_tokens=64, stop="\n\n")
        ```

    Complete:
        ```python
        before, after = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
        print(before + fim.complete(before, suffix=after).text + after)
        ```

        `chat` and its kin are refused: conversations go to `KiloCode`.

    Stream:
        An answer that breaks off raises `StreamInterruptedError` with what had arrived in its `text`.

        ```python
        for chunk in fim.stream_complete(before, suffix=after):
            print(chunk.delta, end="")
        ```

    Async:
        ```python
        import asyncio


        async def main() -> None:
            print(await fim.acomplete(before, suffix=after))
            async for chunk in await fim.astream_complete(before, suffix=after):
                print(chunk.delta, end="")


        asyncio.run(main())
        ```

    Token usage and cost:
        The providers behind the gateway's own two models tell tokens and no cost (gateway server source, 2026): such
        calls are among `calls_without_cost`.

        ```python
        from kilocode_gateway import track_usage

        with track_usage() as used:
            told = fim.complete(before, suffix=after).additional_kwargs
        print(told["prompt_tokens"], told["completion_tokens"], told.get("cost"), told["finish_reason"])
        print(used.total)
        ```

    Errors:
        All are `kilocode_gateway.errors.KiloCodeError`; those of the gateway are `openai` errors as well.

        ```python
        from kilocode_gateway import ModelNotFoundError

        try:
            fim.complete(before, model="anthropic/claude-sonnet-4.6")
        except ModelNotFoundError as error:
            print(error)
        ```

    Copies and pickles:
        As with `KiloCode`: a copy with another key or address uses it; a key from the environment and HTTP clients stay
        behind when an LLM is pickled.
    """

    model: str = USUAL_MODEL
    """The model, in any reference form. The chat models' list does not say which ones fill gaps."""
    suffix: str | None = None
    """The text after the gap."""
    max_tokens: int | None = USUAL_TOKENS
    """The most tokens that the answer may have, from 1 to 1000. It is always sent: the gateway answers 503 to a request
    without it or with more (server source, 2026)."""
    min_tokens: int | None = None
    """The fewest tokens that the answer has."""
    temperature: float | None = None
    """How freely the next token is chosen. The gateway documents it, and its server drops it (source of 2026)."""
    stop: str | list[str] | None = None
    """Texts that end the answer. A single one becomes a list."""
    api_key: str | Callable[[], str] | None = Field(default=None, exclude=True, repr=False)
    """The key, if it was given by hand, or a function that gives it, asked for each request. One from
    `KILOCODE_API_KEY` or `KILO_API_KEY` is used but not stored here."""
    api_base: str | None = None
    """The gateway's address; filled from `KILOCODE_BASE_URL`, else the public gateway."""
    organization_id: str | None = None
    """The organization that pays; filled from `KILOCODE_ORGANIZATION_ID` or `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program; filled from `KILOCODE_FEATURE`."""
    timeout: Seconds = 600.0
    """Seconds for each read, or (connect, read); None waits for ever."""
    first_token_timeout: float | None = None
    """Seconds until something of a streamed answer must be here, as in `KiloCode`."""
    total_timeout: float | None = None
    """Seconds until the answer must be complete, as in `KiloCode`."""
    max_retries: Annotated[int, Field(ge=0)] = 2
    """Attempts after the first, for errors that may pass."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers of each request. Not in `to_dict` and `repr`, as they may hold secrets."""
    context_window: Annotated[int, Field(gt=0)] | None = None
    """Tokens that fit into the model. None takes what is known of it without a request."""

    _link: Link = PrivateAttr()

    def __init__(self, model: KnownFIMModel | str = USUAL_MODEL, **settings: Unpack[KiloCodeFIMSettings]) -> None:
        hide_secrets(cast("dict[str, Any]", settings))
        self._settle(LLM.__init__, {"model": model, **settings})

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        given.pop("class_name", None)
        known = {*type(self).model_fields, *CLIENTS}
        check(given, known, where="KiloCodeFIM", otherwise=_taken(_SETTINGS))
        _check_values(given)
        return given

    @classmethod
    def class_name(cls) -> str:
        """Give the name by which events and `to_dict` call this class."""
        return "KiloCodeFIM"

    @property
    def metadata(self) -> LLMMetadata:
        """What the framework wants to know of the model, as far as it is known without a request."""
        info = Catalog.at_hand(self._link.config(self)).get(self.model)
        return LLMMetadata(
            context_window=self.context_window or (info and info.context_window) or FALLBACK_CONTEXT_WINDOW,
            num_output=self.max_tokens or USUAL_TOKENS,
            is_chat_model=False,
            is_function_calling_model=False,
            model_name=self.model,
        )

    @listened
    def complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeFIMCallSettings]
    ) -> CompletionResponse:
        """Fill the gap after a text.

        Args:
            prompt: The text before the gap.
            formatted: Whether `completion_to_prompt` has been applied, where the LLM has one.
            kwargs: Settings for this call, such as `suffix`.

        Raises:
            ConfigurationError: If a setting cannot be used. Nothing is sent then.
            KiloCodeError: When the gateway refuses.

        """
        return whole(self, self._told_fill, self._fill, self._prompt(prompt, formatted=formatted), kwargs)

    @listened
    async def acomplete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeFIMCallSettings]
    ) -> CompletionResponse:
        """Do what `complete` does, without blocking the event loop."""
        return await awhole(self, self._told_afill, self._afill, self._prompt(prompt, formatted=formatted), kwargs)

    @listened
    def stream_complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeFIMCallSettings]
    ) -> CompletionResponseGen:
        """Fill the gap after a text piece by piece; the last piece carries usage and cost."""
        return streamed(self, self._told_stream, self._stream, self._prompt(prompt, formatted=formatted), kwargs)

    @listened
    async def astream_complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeFIMCallSettings]
    ) -> CompletionResponseAsyncGen:
        """Do what `stream_complete` does, without blocking the event loop."""
        asked = self._prompt(prompt, formatted=formatted)
        return await astreamed(self, self._told_astream, self._astream, asked, kwargs)

    def _fill(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        transport, body = self._request(prompt, kwargs)
        return _whole(transport.completions(body, path=FIM)[0])

    async def _afill(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        transport, body = self._request(prompt, kwargs)
        return _whole((await transport.acompletions(body, path=FIM))[0])

    def _stream(self, prompt: str, **kwargs: Any) -> CompletionResponseGen:
        transport, body = self._request(prompt, kwargs)
        asked_in = usage.active()

        def pieces() -> CompletionResponseGen:
            text = ""
            with usage.counting_in(asked_in):
                opened = transport.stream(body, path=FIM)
            with opened as stream:
                for piece in stream:
                    if piece.text:
                        text += piece.text
                        yield CompletionResponse(text=text, delta=piece.text, raw=piece.raw)
            yield _whole(stream.completion, delta="")

        return begun(pieces())

    async def _astream(self, prompt: str, **kwargs: Any) -> CompletionResponseAsyncGen:
        transport, body = self._request(prompt, kwargs)
        asked_in = usage.active()

        async def pieces() -> CompletionResponseAsyncGen:
            text = ""
            with usage.counting_in(asked_in):
                opened = await transport.astream(body, path=FIM)
            async with opened as stream:
                async for piece in stream:
                    if piece.text:
                        text += piece.text
                        yield CompletionResponse(text=text, delta=piece.text, raw=piece.raw)
            yield _whole(stream.completion, delta="")

        return begun(pieces())

    _told_fill = llm_completion_callback()(_fill)
    _told_afill = llm_completion_callback()(_afill)
    _told_stream = llm_completion_callback()(_stream)
    _told_astream = llm_completion_callback()(_astream)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Never:  # noqa: ARG002 - the base's signature
        """Refuse: these models hold no conversations.

        Raises:
            ConfigurationError: Always.

        """
        raise _no_chat("chat")

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Never:  # noqa: ARG002
        """Refuse, as `chat` does."""
        raise _no_chat("stream_chat")

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Never:  # noqa: ARG002
        """Refuse, as `chat` does."""
        raise _no_chat("achat")

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Never:  # noqa: ARG002
        """Refuse, as `chat` does."""
        raise _no_chat("astream_chat")

    def _check_call(self, call: dict[str, Any]) -> None:
        made = {*type(self).model_fields, *CLIENTS}
        check(call, _PER_CALL, where="KiloCodeFIM", otherwise=_taken(_PER_CALL), of_the_model=made)

    def _prompt(self, prompt: str, *, formatted: bool) -> str:
        check_prompt(prompt)
        shape = None if formatted else self.completion_to_prompt
        return prompt if shape is None else shape(prompt)

    def _request(self, prompt: str, call: dict[str, Any]) -> tuple[Transport, dict[str, Any]]:
        """Build a request: the call's settings win over the fields."""
        settings = wire.put_together(
            {name: getattr(self, name) for name in ("model", *_SETTINGS)},
            {name: value for name, value in call.items() if name != "timeout"},
        )
        return self._link.transport(self, call), fim_body(settings.pop("model", self.model), prompt, settings)


def _check_values(given: Mapping[str, Any]) -> None:
    """Refuse values that cannot be used before pydantic sees them, whose errors would say less."""
    if isinstance(given.get("model"), str):
        parse_model_ref(given["model"])
    check_fim({name: given[name] for name in _SETTINGS if name in given})
    CallOptions.read({name: given[name] for name in _LIMITS if name in given})


def _taken(names: Iterable[str]) -> str:
    return f"It takes {', '.join(sorted(names))}."


def _no_chat(method: str) -> ConfigurationError:
    return ConfigurationError(
        f"KiloCodeFIM fills gaps in code and holds no conversations, so there is no {method}(). Call "
        "complete(before, suffix=after), or KiloCode for conversations."
    )


def _whole(completion: Completion | None, delta: str | None = None) -> CompletionResponse:
    assert completion is not None  # noqa: S101 - a stream that ended without an error has one
    return CompletionResponse(
        text=completion.text, delta=delta, raw=completion.raw, additional_kwargs=facts(completion)
    )
