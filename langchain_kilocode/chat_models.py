"""The gateway's chat models in LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LangSmithParams

from kilocode_gateway import wire
from kilocode_gateway.options import CallOptions
from langchain_kilocode import _blocks, _structured, _tokens
from langchain_kilocode._binding import BindableChatModel
from langchain_kilocode._messages import to_wire
from langchain_kilocode._parts import check_content
from langchain_kilocode._replies import PROVIDER, last_chunk, to_chunk, to_result
from langchain_kilocode._settings import CALL_NAMES, check_call
from langchain_kilocode._tools import to_tool, with_tools_of_the_wire, without_credentials
from langchain_kilocode._traces import tell_cost
from langchain_kilocode.errors import ConfigurationError, told_to_langchain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Unpack

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.prompt_values import PromptValue

    from langchain_kilocode._binding import ToolLike
    from langchain_kilocode._typed import ChatSettings

_blocks.register_blocks()

_NO_REQUEST_FIELD = CALL_NAMES - {"extra_body", "model"}


class ChatKiloCode(BindableChatModel, defer_build=False):
    """Chat models of the Kilo Gateway: hundreds of models behind one key.

    Setup:
        Install `kilocode-gateway[langchain]` and set the key in the environment. Free models answer without one.

        ```bash
        pip install 'kilocode-gateway[langchain]'
        export KILOCODE_API_KEY=...
        ```

    Key init args, completion:
        model: `kilo/auto` unless given. Any id of the gateway's list: `anthropic/claude-sonnet-4.6`, `kilo-auto/free`.
        temperature, top_p, max_tokens, stop, seed, ...: As elsewhere in LangChain. What is not set is not sent.
        provider: Which providers may serve the request, as a `ProviderRouting` dict.
        reasoning: How much the model thinks: `{"effort": "high"}` or `{"max_tokens": 2000}`.
        verbosity, transforms, plugins: The gateway's and its router's own parameters.
        fallback_models: Models to ask when the one before is down, overloaded or retired.
        mode: What the request is for, such as `plan` or `code`: a hint for auto models.
        task_id: The conversation's name, so that its requests share a prompt cache.
        extra_body: Any further fields of the request, as they are.

    Key init args, client:
        api_key: A string, or a function that gives one for each request; else `KILOCODE_API_KEY`, then `KILO_API_KEY`.
        base_url: Else `KILOCODE_BASE_URL`, then the public gateway.
        organization_id: Else `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`.
        timeout: Seconds for each read; 600 unless given.
        first_token_timeout, total_timeout: Seconds for a whole call; no limit unless given.
        max_retries: Attempts after the first; 2 unless given.
        default_headers, http_client, http_async_client: Further headers; clients of httpx or httpx2 of your own.

    No variable named `OPENAI_*` is ever read. A misspelt setting is refused, in the constructor and in each call.

    Instantiate:
        ```python
        from langchain_kilocode import ChatKiloCode

        model = ChatKiloCode(model="kilo/auto", temperature=0.2)
        ```

    Invoke:
        ```python
        messages = [("system", "Answer in one sentence."), ("human", "What is a gateway?")]
        answer = model.invoke(messages)
        print(answer.text)
        ```

    Stream:
        ```python
        for chunk in model.stream(messages):
            print(chunk.text, end="")
        ```

    Async:
        ```python
        answer = await model.ainvoke(messages)
        async for chunk in model.astream(messages):
            print(chunk.text, end="")
        ```

    Tool calling:
        Reasoning that came with a tool call goes back with its result, signatures intact.

        ```python
        from langchain_core.tools import tool

        @tool
        def get_weather(city: str) -> str:
            '''Get the weather in a city.'''
            return f"Sunny in {city}."

        with_tools = model.bind_tools([get_weather], tool_choice="any")
        for call in with_tools.invoke("What is the weather in Paris?").tool_calls:
            print(call["name"], call["args"])
        ```

    Structured output:
        The way of asking is chosen from what the model's catalog entry lists; `method=` overrides it. An answer that
        was cut or refused raises `AnswerTruncatedError` or `AnswerRefusedError` with the text so far.

        ```python
        from pydantic import BaseModel, Field

        class Joke(BaseModel):
            '''A joke.'''

            setup: str = Field(description="The question")
            punchline: str = Field(description="The answer")

        joke = model.with_structured_output(Joke).invoke("Tell me a joke about cats.")
        print(joke.punchline)
        ```

    Reasoning:
        ```python
        thinker = ChatKiloCode(model="anthropic/claude-sonnet-4.6", reasoning={"effort": "high"})
        answer = thinker.invoke("How many primes are below 20?")
        print([block["reasoning"] for block in answer.content_blocks if block["type"] == "reasoning"])
        ```

    Image input:
        PDF (`file`), `audio` and `video` blocks work alike, on models that take them. What the model does not take, by
        the gateway's list, is refused before it is sent, unless `check_inputs=False`.

        ```python
        picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        message = {
            "role": "user",
            "content": [
                {"type": "text", "text": "What colour is this?"},
                {"type": "image", "base64": picture, "mime_type": "image/png"},
            ],
        }
        print(model.invoke([message]).text)
        ```

    Token usage and cost:
        In streams, the last chunk carries both.

        ```python
        answer = model.invoke(messages)
        print(answer.usage_metadata["total_tokens"], answer.response_metadata.get("cost"))
        print(answer.response_metadata["model_name"], "answered for", answer.response_metadata["requested_model"])
        ```

    Which providers may serve:
        Settings of a call are merged over the model's, key by key.

        ```python
        private = ChatKiloCode(provider={"data_collection": "deny"})
        answer = private.invoke(messages, provider={"sort": "price"})
        ```

    When a model fails:
        The next of `fallback_models` is asked where a provider is down or overloaded, or a model is retired, and only
        before the first token. LangChain's `with_retry` and `with_fallbacks` work as well, for any error.

        ```python
        steady = ChatKiloCode(model="anthropic/claude-sonnet-4.6", fallback_models=["openai/gpt-5.4", "kilo/auto"])
        told = steady.invoke(messages).response_metadata
        print(told.get("fallback_model", "no fallback was needed"), told.get("failed_models", []))
        ```

    Labels that the provider stores:
        `metadata=` is LangChain's own: in the constructor and in `config` it labels traces, and `invoke` takes it as no
        setting. The gateway's `metadata` goes into `extra_body`, in the constructor or a call; `bind` takes it as well.

        ```python
        answer = model.invoke(messages, extra_body={"metadata": {"ticket": "42"}})
        ```

    Limits in time:
        `timeout` holds for each read, and the gateway's keep-alive comments reset it. These hold for the whole call,
        retries and waits included; the first one for streams. A stream that you leave closes its connection at once.

        ```python
        prompt_one = ChatKiloCode(first_token_timeout=20, total_timeout=120)
        print(prompt_one.invoke(messages, total_timeout=30).text)
        ```

    Conversations:
        Requests with the same `task_id` share the provider's prompt cache; `mode` helps an auto model to choose.

        ```python
        chat = ChatKiloCode(model="kilo-auto/frontier", task_id="conversation-7")
        answer = chat.invoke(messages, mode="plan")
        ```

    By name:
        LangChain's short names know the gateway once you say so.

        ```python
        from langchain.chat_models import init_chat_model
        from langchain_kilocode import register

        register()
        model = init_chat_model("kilocode:kilo/auto", temperature=0.2)
        ```

    Counting tokens:
        An estimate, offline, and for no model exact; `custom_get_token_ids` takes a tokenizer of your own.

        ```python
        print(model.get_num_tokens_from_messages([("human", "How many tokens are this?")]))
        ```

    Profile:
        What the gateway's catalog knows of the model, fetched at the first reading. In async code,
        `await model.aload()` first.

        ```python
        print(model.profile["max_input_tokens"], model.profile["tool_calling"])
        ```

    Copies and pickles:
        A copy with another key or address uses it at once. A pickle carries every setting to a worker elsewhere, a key
        that was given as `api_key` too, so keep it as safe as the key; a key from the environment does not travel: the
        worker reads its own. Clients, callbacks, the rate limiter and the cache stay behind; a deep copy shares them.

        ```python
        other = model.model_copy(update={"model": "openai/gpt-5.4", "temperature": 0})
        ```

    Errors:
        Each is a `KiloCodeError`, and also the `openai` and the langchain-core error that other code catches.

        ```python
        from kilocode_gateway import ModelNotFoundError

        try:
            ChatKiloCode(model="nobody/no-such-model").invoke("Hello")
        except ModelNotFoundError as error:
            print(error)
        ```
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[ChatSettings]) -> None: ...

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        prompt = super()._convert_input(model_input)
        # Here too: langchain-core itself reads the blocks before a request is made of them.
        for message in prompt.to_messages():
            check_content(message.content)
        return prompt

    @told_to_langchain
    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Give the request as the transport takes it: the model's settings, the call's over them, and the messages."""
        if stop is not None:
            kwargs["stop"] = stop
        check_call(self, kwargs)
        call = {name: value for name, value in kwargs.items() if name not in _NO_REQUEST_FIELD}
        payload = with_tools_of_the_wire(wire.put_together(self._default_params, call))
        CallOptions.read(payload)
        schema = payload.get("response_format")
        if schema is not None and not isinstance(schema, dict):
            payload["response_format"] = _structured.response_format(schema)
        if not payload.get("tools"):
            # Some upstreams refuse an empty list, and a choice without tools.
            payload.pop("tools", None)
            payload.pop("tool_choice", None)
        if type(payload.get("n", 1)) is not int or payload.get("n", 1) < 1:
            msg = f"n must be a whole number from 1, got {payload['n']!r}."
            raise ConfigurationError(msg)
        payload["messages"] = to_wire(self._convert_input(input_).to_messages())
        return payload

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the framework's signature
        **kwargs: Any,
    ) -> ChatResult:
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        return to_result(self._transport().completions(body))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the framework's signature
        **kwargs: Any,
    ) -> ChatResult:
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        return to_result(await self._transport().acompletions(body))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        tell_cost(run_manager)
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        with self._transport().stream(body) as pieces:
            for delta in pieces:
                chunk = to_chunk(delta)
                if chunk is None:
                    continue
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=delta.logprobs)
                yield chunk
            chunk = last_chunk(pieces.completion, with_usage=self._wants_usage(stream_usage))
            if run_manager is not None:
                run_manager.on_llm_new_token("", chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        tell_cost(run_manager)
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        async with await self._transport().astream(body) as pieces:
            async for delta in pieces:
                chunk = to_chunk(delta)
                if chunk is None:
                    continue
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=delta.logprobs)
                yield chunk
            chunk = last_chunk(pieces.completion, with_usage=self._wants_usage(stream_usage))
            if run_manager is not None:
                await run_manager.on_llm_new_token("", chunk=chunk)
            yield chunk

    def _wants_usage(self, stream_usage: bool | None) -> bool:
        wanted = self.stream_usage if stream_usage is None else stream_usage
        return wanted is not False

    @told_to_langchain
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        params = {**self._default_params, "_type": self._llm_type, "stop": stop, **kwargs}
        params = with_tools_of_the_wire(params)
        if params.get("tools"):
            params["tools"] = [without_credentials(tool) for tool in params["tools"]]
        return params

    @told_to_langchain
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # As they go over the wire: a function's own name in memory may be another one's tomorrow.
        return super()._get_llm_string(stop, **with_tools_of_the_wire(kwargs))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=kwargs.get("model") or self.model_name,
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
        )
        max_tokens = kwargs.get("max_tokens") or kwargs.get("max_completion_tokens") or self.max_tokens
        if max_tokens:
            params["ls_max_tokens"] = max_tokens
        stops = stop or kwargs.get("stop") or self.stop
        if stops:
            params["ls_stop"] = [stops] if isinstance(stops, str) else stops
        return params

    @property
    def _llm_type(self) -> str:
        return "kilocode-chat"

    def get_token_ids(self, text: str) -> list[int]:
        """Split text into pieces of about a token, offline. The numbers stand for no model's vocabulary.

        An estimate: four bytes to a token, because the gateway tells no model's tokenizer. Pass `custom_get_token_ids`
        to count exactly.
        """
        return self.custom_get_token_ids(text) if self.custom_get_token_ids is not None else _tokens.token_ids(text)

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolLike] | None = None,
        *,
        allow_fetching_images: bool = True,  # noqa: ARG002 - nothing is ever fetched
    ) -> int:
        """Estimate the tokens of messages and tools, offline: nothing is downloaded and no image is fetched.

        Text counts four bytes to a token, or as `custom_get_token_ids` says; an image 85 tokens; a file, a sound or a
        video one token per 100 bytes.
        """
        text_count = _tokens.text_tokens if self.custom_get_token_ids is None else self.get_num_tokens
        return _tokens.count(messages, [to_tool(tool) for tool in tools or ()], text_count)
