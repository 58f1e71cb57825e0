"""`KiloCodeFIM`: the Kilo Gateway's models that fill gaps in code, as an LLM of LlamaIndex."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Never, Self, TypedDict, Unpack, cast

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.llm import LLM

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import hide_secrets
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.options import CallOptions
from kilocode_gateway.transport import FIM
from kilocode_gateway.wire.fim import USUAL_MODEL, USUAL_TOKENS, check_fim, fim_body
from llama_index_kilocode._base import FALLBACK_CONTEXT_WINDOW, Discreet, Link
from llama_index_kilocode._replies import facts
from llama_index_kilocode._settings import check_few, put_together

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence

    from llama_index.core.base.llms.types import ChatMessage, CompletionResponseAsyncGen, CompletionResponseGen
    from llama_index.core.callbacks import CallbackManager

    from kilocode_gateway.transport import Transport
    from kilocode_gateway.wire import Completion

_LIMITS = ("first_token_timeout", "total_timeout")
_SETTINGS = ("suffix", "max_tokens", "min_tokens", "temperature", "stop", *_LIMITS)
_PER_CALL = frozenset({"model", "timeout", *_SETTINGS})
"""What a call may set for itself."""


class KiloCodeFIMSettings(TypedDict, total=False):
    """What `KiloCodeFIM` takes, for editors and type checkers. Each is documented at the class and its fields."""

    suffix: str | None
    max_tokens: int | None
    min_tokens: int | None
    temperature: float | None
    stop: str | list[str] | None
    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    timeout: float | tuple[float, float] | None
    first_token_timeout: float | None
    total_timeout: float | None
    max_retries: int
    default_headers: dict[str, str] | None
    http_client: Any
    async_http_client: Any
    context_window: int | None
    system_prompt: str | None
    completion_to_prompt: Callable[[str], str] | None
    callback_manager: CallbackManager | None
    rate_limiter: Any


class KiloCodeFIM(Discreet, LLM):
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
        min_tokens, temperature: Not sent unless given.
        stop: One text or several that end the answer.
        api_key, api_base, organization_id: From `KILOCODE_API_KEY`, `KILOCODE_BASE_URL` and `KILOCODE_ORGANIZATION_ID`
            unless given. Requests go to `/api/fim/completions` on that host. No `OPENAI_*` variable is ever read.
        feature: What the gateway's usage page calls this program; from `KILOCODE_FEATURE` unless given.
        timeout: Seconds for each read (600), or (connect, read). `first_token_timeout` and `total_timeout` hold a whole
            call.
        max_retries: Attempts after the first, for errors that may pass (2).

        A call takes `model`, the settings of the answer and the time limits too; None takes a setting out. Unknown
        names are refused.

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
    timeout: float | tuple[float, float] | None = 600.0
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

    def __init__(self, model: str = USUAL_MODEL, **settings: Unpack[KiloCodeFIMSettings]) -> None:
        hide_secrets(cast("dict[str, Any]", settings))
        given: dict[str, Any] = {"model": model, **settings}
        given.pop("class_name", None)
        check_few(given, type(self).model_fields, where="KiloCodeFIM", otherwise=_taken(_SETTINGS))
        _check_values(given)
        link = Link.take(given)
        super().__init__(**given)
        hide_secrets(self.__dict__)
        self._link = link
        self._link.transport(self)

    def __setattr__(self, name: str, value: Any) -> None:
        _check_values({name: value})
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with some settings changed.

        Raises:
            ConfigurationError: If one of them cannot be used, or is none of the class's settings.

        """
        changes, update = dict(update or {}), None
        hide_secrets(changes)
        check_few(changes, type(self).model_fields, where="KiloCodeFIM", otherwise=_taken(_SETTINGS))
        _check_values(changes)
        return super().model_copy(update=changes, deep=deep)

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

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Fill the gap after a text.

        Args:
            prompt: The text before the gap.
            formatted: Whether `completion_to_prompt` has been applied, where the LLM has one.
            kwargs: Settings for this call, such as `suffix`.

        Raises:
            ConfigurationError: If a setting cannot be used. Nothing is sent then.
            KiloCodeError: When the gateway refuses.

        """
        transport, body = self._request(prompt, kwargs, formatted=formatted)
        return _whole(transport.completions(body, path=FIM)[0])

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Do what `complete` does, without blocking the event loop."""
        transport, body = self._request(prompt, kwargs, formatted=formatted)
        return _whole((await transport.acompletions(body, path=FIM))[0])

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Fill the gap after a text piece by piece; the last piece carries usage and cost."""
        transport, body = self._request(prompt, kwargs, formatted=formatted)

        def pieces() -> Generator[CompletionResponse, None, None]:
            text = ""
            with transport.stream(body, path=FIM) as stream:
                for piece in stream:
                    if piece.text:
                        text += piece.text
                        yield CompletionResponse(text=text, delta=piece.text, raw=piece.raw)
            yield _whole(stream.completion, delta="")

        return pieces()

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Do what `stream_complete` does, without blocking the event loop."""
        transport, body = self._request(prompt, kwargs, formatted=formatted)

        async def pieces() -> AsyncGenerator[CompletionResponse, None]:
            text = ""
            async with await transport.astream(body, path=FIM) as stream:
                async for piece in stream:
                    if piece.text:
                        text += piece.text
                        yield CompletionResponse(text=text, delta=piece.text, raw=piece.raw)
            yield _whole(stream.completion, delta="")

        return pieces()

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

    def _request(self, prompt: str, call: dict[str, Any], *, formatted: bool) -> tuple[Transport, dict[str, Any]]:
        """Build a request: the call's settings win over the fields."""
        fields = type(self).model_fields
        check_few(call, _PER_CALL, where="KiloCodeFIM", otherwise=_taken(_PER_CALL), of_the_model=fields)
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        settings = put_together(
            {name: getattr(self, name) for name in ("model", *_SETTINGS)},
            {name: value for name, value in call.items() if name != "timeout"},
        )
        return self._link.transport(self, call), fim_body(settings.pop("model", self.model), prompt, settings)


def _check_values(given: Mapping[str, Any]) -> None:
    """Refuse values that cannot be used before pydantic sees them, whose errors would say less."""
    check_fim({name: given[name] for name in _SETTINGS if name in given})
    CallOptions.read({name: given[name] for name in _LIMITS if name in given})


def _taken(names: Iterable[str]) -> str:
    return f"it takes {', '.join(sorted(names))}"


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
