"""The gateway's models that fill gaps in code, in LangChain."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import Runnable
from pydantic import model_validator

from kilocode_gateway import __version__, wire
from kilocode_gateway.options import CallOptions
from kilocode_gateway.transport import FIM
from kilocode_gateway.wire.fim import USUAL_MODEL, USUAL_TOKENS, check_fim, fim_body
from langchain_kilocode._connection import OnGateway
from langchain_kilocode._replies import PROVIDER, reply_metadata
from langchain_kilocode._tokens import token_ids
from langchain_kilocode._typed import TypedLLM
from langchain_kilocode.errors import ConfigurationError, UnknownSettingError, told_to_langchain

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Iterator, Mapping
    from typing import Unpack

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun, Callbacks
    from langchain_core.language_models import LangSmithParams, LanguageModelInput
    from langchain_core.prompt_values import PromptValue
    from langchain_core.runnables import RunnableConfig

    from kilocode_gateway.wire import Completion
    from langchain_kilocode._typed import FIMClassSettings

_LIMITS = ("first_token_timeout", "total_timeout")
_SETTINGS = ("suffix", "max_tokens", "min_tokens", "temperature", "stop", *_LIMITS)
_CALL_NAMES = frozenset({"model", *_SETTINGS})
"""What a call may set for itself."""


class KiloCodeFIM(OnGateway, TypedLLM):
    r"""Models of the Kilo Gateway that fill gaps in code: text before the gap in, text for the gap out.

    Setup:
        Install `kilocode-gateway[langchain]` and set the key in the environment. Without a key nothing is sent to the
        public gateway: it fills gaps only for those who sign in.

        ```bash
        pip install 'kilocode-gateway[langchain]'
        export KILOCODE_API_KEY=...
        ```

    Key init args, completion:
        model: `mistralai/codestral-2508` unless given; the newest gateway also has `inception/mercury-edit-2`.
        suffix: The text after the gap.
        max_tokens: From 1 to 1000; 256 unless given. It is always sent, because the gateway asks for it.
        min_tokens, temperature: Not sent unless given.
        stop: One text or several that end the answer.

    Key init args, client:
        api_key: Else `KILOCODE_API_KEY`, then `KILO_API_KEY`.
        base_url: Else `KILOCODE_BASE_URL`, then the public gateway. Requests go to `/api/fim/completions` on its host.
        organization_id: Else `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`.
        timeout: Seconds for each read; 600 unless given. `first_token_timeout` and `total_timeout` hold a whole call.
        max_retries: Attempts after the first; 2 unless given.

    No variable named `OPENAI_*` is ever read. A misspelt setting is refused, in the constructor and in each call.

    Instantiate:
        ```python
        from langchain_kilocode import KiloCodeFIM

        fim = KiloCodeFIM(max_tokens=64, stop="\n\n")
        ```

    Invoke:
        Every setting of the completion may also be given to a call.

        ```python
        before, after = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
        print(before + fim.invoke(before, suffix=after) + after)
        ```

    Stream:
        An answer that breaks off raises `StreamInterruptedError` with what had arrived in its `text`.

        ```python
        for piece in fim.stream(before, suffix=after):
            print(piece, end="")
        ```

    Async:
        ```python
        print(await fim.ainvoke(before, suffix=after))
        async for piece in fim.astream(before, suffix=after):
            print(piece, end="")
        ```

    Several gaps:
        ```python
        print(fim.batch(["def twice(n):\n    return ", "def half(n):\n    return "]))
        ```

    Token usage and cost:
        `generate` gives both with each answer, and the sum in `llm_output`; `track_usage` counts every way of asking.
        The providers behind the gateway's own two models tell tokens and no cost (gateway server source, 2026): such
        calls are among `calls_without_cost`.

        ```python
        from kilocode_gateway import track_usage

        with track_usage() as used:
            result = fim.generate([before], suffix=after)
        print(result.generations[0][0].generation_info["finish_reason"], result.llm_output["token_usage"])
        print(used.total)
        ```

    Errors:
        Each is a `KiloCodeError`, and also the `openai` and the langchain-core error that other code catches.

        ```python
        from kilocode_gateway import ModelNotFoundError

        try:
            KiloCodeFIM(model="anthropic/claude-sonnet-4.6").invoke(before)
        except ModelNotFoundError as error:
            print(error)
        ```
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
    first_token_timeout: float | None = None
    """Seconds until something of a streamed answer must be here, as in `ChatKiloCode`."""
    total_timeout: float | None = None
    """Seconds until the answer must be complete, as in `ChatKiloCode`."""

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[FIMClassSettings]) -> None: ...

    @classmethod
    @told_to_langchain
    def _check_values(cls, given: Mapping[str, Any]) -> None:
        check_fim({name: value for name, value in given.items() if name in _SETTINGS})
        CallOptions.read({name: value for name, value in given.items() if name in _LIMITS})

    @model_validator(mode="after")
    def _set_kilocode_version(self) -> Self:
        self._add_version("kilocode-gateway", __version__)
        return self

    @told_to_langchain
    def _check_call(self, call: Mapping[str, Any]) -> None:
        self._refuse_unknown_settings(call)
        self._check_values(call)

    def _refuse_unknown_settings(self, call: Mapping[str, Any]) -> None:
        made = type(self)
        for name in call:
            if name in _CALL_NAMES:
                continue
            if name in made.model_fields or name in self._by_alias():
                msg = (
                    f"{made.__name__}: {name!r} is a setting of the model, not of a call: "
                    f"give it to {made.__name__}(...), or model_copy(update={{{name!r}: ...}})."
                )
                raise UnknownSettingError(msg)
            near = wire.nearest_name(name, _CALL_NAMES)
            hint = f"Did you mean {near!r}?" if near else f"It takes {', '.join(sorted(_CALL_NAMES))}."
            msg = f"A call of {made.__name__} has no setting {name!r}. {hint}"
            raise UnknownSettingError(msg)

    @told_to_langchain
    def _body(self, prompt: str, stop: list[str] | str | None, call: Mapping[str, Any]) -> dict[str, Any]:
        """Give the request: the model's settings, and the call's over them."""
        call = {**call, "stop": stop}
        self._check_call(call)
        settings = wire.merge({name: getattr(self, name) for name in ("model", *_SETTINGS)}, call)
        return fim_body(settings.pop("model"), prompt, settings)

    def _for_call(self, stop: list[str] | str | None, call: Mapping[str, Any]) -> tuple[Self, list[str] | None]:
        """Give a model that has a call's settings as its own, and the texts that end its answers.

        LangChain tells caches and traces of a completion model's own settings only: two calls that differ in nothing
        but their suffix would share one cached answer.
        """
        call = {**call, "stop": stop}
        self._check_call(call)
        changes = {name: value for name, value in call.items() if value is not None}
        if not changes:
            return self, self._stops
        model = self.model_copy(update=changes)
        # The connection stays the same.
        model._memory = self._memory  # noqa: SLF001 - of the same class
        return model, model._stops  # noqa: SLF001

    @property
    def _stops(self) -> list[str] | None:
        return ([self.stop] if isinstance(self.stop, str) else list(self.stop)) if self.stop else None

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        *,
        tags: list[str] | list[list[str]] | None = None,
        metadata: dict[str, Any] | list[dict[str, Any]] | None = None,
        run_name: str | list[str] | None = None,
        run_id: uuid.UUID | list[uuid.UUID | None] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Fill the gap after each prompt, one request after the other.

        Args:
            prompts: The texts before the gaps.
            stop: Texts that end an answer.
            callbacks: LangChain's callbacks, for all prompts or one list for each.
            tags: LangChain's tags.
            metadata: LangChain's metadata.
            run_name: LangChain's name for the run.
            run_id: LangChain's id for the run.
            kwargs: `suffix`, `model`, `max_tokens`, `min_tokens`, `temperature` for these prompts.

        Raises:
            ConfigurationError: If a setting cannot be used. Nothing is sent then.
            KiloCodeError: When the gateway refuses.

        """
        model, stops = self._for_call(stop, kwargs)
        return super(KiloCodeFIM, model).generate(
            prompts, stops, callbacks, tags=tags, metadata=metadata, run_name=run_name, run_id=run_id
        )

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        *,
        tags: list[str] | list[list[str]] | None = None,
        metadata: dict[str, Any] | list[dict[str, Any]] | None = None,
        run_name: str | list[str] | None = None,
        run_id: uuid.UUID | list[uuid.UUID | None] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Do what `generate` does, without blocking the event loop, and all prompts at once."""
        model, stops = self._for_call(stop, kwargs)
        return await super(KiloCodeFIM, model).agenerate(
            prompts, stops, callbacks, tags=tags, metadata=metadata, run_name=run_name, run_id=run_id
        )

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the framework's signature
        **kwargs: Any,
    ) -> LLMResult:
        transport = self._transport()
        return _to_result([transport.completions(self._body(prompt, stop, kwargs), path=FIM)[0] for prompt in prompts])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the framework's signature
        **kwargs: Any,
    ) -> LLMResult:
        transport = self._transport()
        bodies = [self._body(prompt, stop, kwargs) for prompt in prompts]
        asked = (transport.acompletions(body, path=FIM) for body in bodies)
        # Each is waited for, so that none goes on behind the back of whoever catches another's error.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer[0])
        return _to_result(found)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with self._transport().stream(self._body(prompt, stop, kwargs), path=FIM) as pieces:
            for delta in pieces:
                if not delta.text:
                    continue
                chunk = GenerationChunk(text=delta.text)
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            yield _last_chunk(pieces.completion)

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async with await self._transport().astream(self._body(prompt, stop, kwargs), path=FIM) as pieces:
            async for delta in pieces:
                if not delta.text:
                    continue
                chunk = GenerationChunk(text=delta.text)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            yield _last_chunk(pieces.completion)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Fill the gap after each input, at most `max_concurrency` at once.

        Unlike LangChain's own for completion models: with `return_exceptions` only what failed is an error.
        """
        return Runnable.batch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Do what `batch` does, without blocking the event loop."""
        return await Runnable.abatch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def __repr_args__(self) -> Any:
        """Show the model first, and nothing that the user did not set."""
        # A traceback with local variables also shows objects that are not made yet.
        if "model" not in self.__dict__:
            return
        yield "model", self.model
        for name, value in super().__repr_args__():
            if name == "metadata":
                shown = {key: said for key, said in (value or {}).items() if key != "lc_versions"}
                if shown:
                    yield name, shown
            elif name != "model":
                yield name, value

    def bind(self, **kwargs: Any) -> Any:
        """Give this model with settings for every call.

        Raises:
            UnknownSettingError: If a call takes no such name.

        """
        self._check_call(kwargs)
        return super().bind(**kwargs)

    @told_to_langchain
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        prompt = super()._convert_input(model_input)
        if isinstance(prompt, StringPromptValue):
            return prompt
        # LangChain would write "Human: " before a message, into the code.
        messages = prompt.to_messages()
        if len(messages) == 1:
            return StringPromptValue(text=str(messages[0].text))
        msg = (
            f"{type(self).__name__} expects one text, the one before the gap, got {len(messages)} messages. "
            "Conversations go to ChatKiloCode."
        )
        raise ConfigurationError(msg)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        config = self.gateway_config
        asked = dict(zip(("base_url", "organization_id"), config.identity, strict=True))
        own = {name: getattr(self, name) for name in ("model", *_SETTINGS) if name not in _LIMITS}
        return {**own, "stop": self._stops, **asked, "asker": config.asker(self.default_headers)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self._stops, **kwargs)
        params["ls_provider"] = PROVIDER
        return params

    @property
    def _llm_type(self) -> str:
        return "kilocode-fim"

    def get_token_ids(self, text: str) -> list[int]:
        """Split text into pieces of about a token, offline, as `ChatKiloCode.get_token_ids` does."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids is not None else token_ids(text)

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key, which serialized forms name and do not hold."""
        return {"api_key": "KILOCODE_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Say yes: `dumps` and `load` work.

        `load` needs `valid_namespaces=["langchain_kilocode"]` and `allowed_objects=[KiloCodeFIM]`, both.
        """
        return True


def _to_result(answers: list[Completion]) -> LLMResult:
    generations = [[Generation(text=answer.text, generation_info=reply_metadata(answer))] for answer in answers]
    output: dict[str, Any] = {"model_provider": PROVIDER}
    if answers:
        output["model_name"] = answers[0].model
    used = [answer.usage for answer in answers if answer.usage is not None]
    if used and len(used) == len(answers):
        output["token_usage"] = {
            "prompt_tokens": sum(usage.input_tokens for usage in used),
            "completion_tokens": sum(usage.output_tokens for usage in used),
            "total_tokens": sum(usage.total_tokens for usage in used),
        }
    costs = [usage.cost for usage in used if usage.cost is not None]
    if costs and len(costs) == len(answers):
        output["cost"] = float(sum(costs, Decimal(0)))
    return LLMResult(generations=generations, llm_output=output)


def _last_chunk(answer: Completion | None) -> GenerationChunk:
    """Give the closing piece of a stream: what is known at its end only."""
    return GenerationChunk(text="", generation_info=None if answer is None else reply_metadata(answer))
