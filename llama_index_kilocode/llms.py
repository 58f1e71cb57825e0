"""`KiloCode`: any model of the Kilo Gateway as an LLM of LlamaIndex."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_response_to_completion_response,
    chat_to_completion_decorator,
    prompt_to_messages,
    stream_chat_response_to_completion_response,
)
from llama_index.core.prompts import BasePromptTemplate
from llama_index.llms.openai_like import OpenAILike

from kilocode_gateway import usage
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.loops import Unlisted
from llama_index_kilocode._events import (
    aclosed_together,
    astreamed,
    awhole,
    begun,
    closed_together,
    listened,
    streamed,
    whole,
)
from llama_index_kilocode._messages import conversation
from llama_index_kilocode._replies import StreamedChat, chat_response
from llama_index_kilocode._settings import check_request
from llama_index_kilocode._tools import ToolCalling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from llama_index.core.base.llms.types import (
        ChatMessage,
        ChatResponse,
        ChatResponseAsyncGen,
        ChatResponseGen,
        CompletionResponse,
        CompletionResponseAsyncGen,
        CompletionResponseGen,
    )

    from kilocode_gateway.known_models import KnownModel
    from kilocode_gateway.wire import Completion
    from llama_index_kilocode._settings import KiloCodeCallSettings, KiloCodeSettings

_GIVEN_AT_ONCE = 16
"""After how many pieces of an async stream others have their turn, though more of it be here.

An agent makes an event of each piece and never waits: without this, what one read brought would all stand in its queue,
each with the whole text so far, before anybody sees the first.
"""


class KiloCode(ToolCalling):
    """Any model of the Kilo Gateway as an LLM.

    Setup:
        Install the package and set the key from your profile at app.kilo.ai. Without a key free models answer.

        ```bash
        pip install "kilocode-gateway[llama-index]"
        export KILOCODE_API_KEY="your-key"
        ```

    Key settings, answer:
        None of them is sent unless you set it; the model's own default holds then.

        model: The id as the gateway lists it, such as `anthropic/claude-sonnet-4.6`. Default `kilo/auto`: it chooses.
        temperature: From 0 to 2.
        max_tokens: The most tokens of an answer.
        top_p, top_k, min_p, seed, stop, frequency_penalty, presence_penalty, repetition_penalty: As everywhere.
        logprobs, top_logprobs: Whether the tokens' log probabilities come back, and how many alternatives (0).
        reasoning, reasoning_effort: How much the model thinks: `{"effort": "high"}`, `{"max_tokens": 2000}`; `"high"`.
        verbosity: How long the answer is: `"low"`, `"medium"`, `"high"`.
        modalities, audio_config: For spoken answers: `["text", "audio"]`, `{"voice": "alloy", "format": "wav"}`. In a
            call the second is called `audio`, as on the wire.
        provider, transforms, plugins: The gateway's and its router's own, such as `provider={"sort": "price"}`.
        extra_body: Any further field of the request, whatever its name; merged in last.
        additional_kwargs: Settings of every call, by the names that a call takes. Further parameters of the gateway,
            such as `parallel_tool_calls` or `cache_control`, may be given by name and end up there.

    Key settings, which models and for how long:
        fallback_models: Models to ask, in this order, when the one before is down, overloaded or retired (none).
        timeout: Seconds for each read (600), or (connect, read), or an httpx `Timeout`; None waits for ever.
        first_token_timeout, total_timeout: Seconds for a whole call, retries and waits included (no limit); the first
            one for streams.
        max_retries: Attempts after the first, for errors that may pass (2).
        mode: What the request is for, such as `"plan"` or `"code"`: a hint for auto models (none).
        task_id: The conversation's name: requests with the same one share a prompt cache (none).
        check_inputs: Whether images, audio and video are refused before they are sent, where the model takes none by
            the catalog at hand (True).

    Key settings, gateway:
        api_key, api_base, organization_id: From `KILOCODE_API_KEY`, `KILOCODE_BASE_URL` and `KILOCODE_ORGANIZATION_ID`
            unless given (`KILO_API_KEY` and `KILO_ORG_ID` count as well). No `OPENAI_*` variable is ever read. The key
            may be a function, asked for each request.
        feature: What the gateway's usage page calls this program; from `KILOCODE_FEATURE` unless given.
        default_headers: Further headers of each request (none); neither shown nor in `to_dict`.
        http_client, async_http_client: Clients of httpx or httpx2 to use instead of the shared ones (none). They are
            never closed here.

    Key settings, LlamaIndex:
        context_window, is_function_calling_model: Instead of what the catalog says. It is asked when `metadata` is read
            first; a server that must not wait for it, two seconds at most, calls `await llm.aload()` when it starts.
        should_use_structured_outputs: Whether objects are asked for by JSON schema rather than by a tool call (False).
        strict: Whether schemas of tools and objects must be followed exactly (False); few providers know it.
        tokenizer: As in `OpenAILike`; nothing here needs it.
        system_prompt, messages_to_prompt, completion_to_prompt, query_wrapper_prompt: As in every LLM of LlamaIndex.
        callback_manager, output_parser, rate_limiter, pydantic_program_mode: The same.

        What shapes the answer may be given to a single call too: every field of the request, `model`, the settings of
        the second list but `max_retries`, `extra_body`, and `extra_headers`. The call wins over `additional_kwargs`,
        those over the fields, in whatever spelling each has a setting; dicts are merged, and None takes a setting out.
        What is left belongs to the model: for others, make a copy, assign, or make another `KiloCode`. Unknown names
        and values that cannot be used are refused, wherever they are given.

    Instantiate:
        ```python
        from llama_index_kilocode import KiloCode

        llm = KiloCode(temperature=0.2, max_tokens=500)
        ```

    Complete and chat:
        ```python
        from llama_index.core.llms import ChatMessage

        print(llm.complete("Name a fruit."))

        messages = [
            ChatMessage(role="system", content="Answer in one sentence."),
            ChatMessage(role="user", content="What is a gateway?"),
        ]
        response = llm.chat(messages, max_tokens=100)
        print(response.message.content)
        ```

    Stream:
        ```python
        for chunk in llm.stream_chat(messages):
            print(chunk.delta, end="")
        ```

        While a model thinks, the new text stands in `chunk.additional_kwargs["thinking_delta"]`. The last chunk repeats
        the whole message and carries usage and cost.

    Async:
        ```python
        import asyncio


        async def main() -> None:
            print(await llm.acomplete("Name a fruit."))
            async for chunk in await llm.astream_chat(messages):
                print(chunk.delta, end="")


        asyncio.run(main())
        ```

    Tool calling:
        ```python
        from llama_index.core.agent.workflow import FunctionAgent


        def multiply(a: int, b: int) -> int:
            '''Multiply two numbers.'''
            return a * b


        async def ask() -> str:
            agent = FunctionAgent(tools=[multiply], llm=llm)
            return str(await agent.run("What is 6 times 7?"))


        print(asyncio.run(ask()))
        ```

        For a model without tool calling take `ReActAgent`: the framework's own `predict_and_call` fails for such models
        before it asks (llama-index-core 0.14).

    Structured output:
        By a required tool call, by JSON schema, or by an instruction: whichever the model can do.

        ```python
        from llama_index.core.prompts import PromptTemplate
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        city = llm.structured_predict(City, PromptTemplate("Tell me about {place}."), place="Lisbon")
        print(city.name)
        print(llm.as_structured_llm(City).complete("Tell me about Lisbon.").raw)
        ```

    Thinking:
        Reasoning comes as a `ThinkingBlock`, and goes back unchanged with the history, signatures included.

        ```python
        response = llm.chat(messages, reasoning={"effort": "high"})
        thoughts = [block.content for block in response.message.blocks if block.block_type == "thinking"]
        ```

        The framework's chat engines keep them in their history after `chat`; after `stream_chat` they keep the text
        alone (llama-index-core 0.14). Agents keep them either way.

    Images, documents, audio, video:
        ```python
        from llama_index.core.llms import ImageBlock, TextBlock

        picture = ImageBlock(url="https://example.com/cat.png")
        response = llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), picture])])
        ```

        What the model does not take, by the gateway's list, is refused before it is sent, unless `check_inputs=False`.

    Token usage and cost:
        ```python
        facts = llm.chat(messages).additional_kwargs
        print(facts["prompt_tokens"], facts["completion_tokens"], facts.get("cost"), facts["model"])

        from kilocode_gateway import track_usage

        with track_usage() as used:
            llm.complete("Name a fruit.")
        print(used)
        ```

        A stream counts where it was asked for, though it be read later. A query engine with `streaming=True` asks when
        its answer is read, so read that inside the block.

        `prompt_tokens`, `completion_tokens`, `total_tokens`, `cached_tokens`, `cache_write_tokens`, `reasoning_tokens`,
        `cost` (USD), `cost_details`, `is_byok`, `model` (that answered), `requested_model`, `provider` and
        `finish_reason`: those that the gateway told; and `fallback_model` with `failed_models`, where one stood in.

    Query engines:
        ```python
        from llama_index.core import Document, Settings, VectorStoreIndex
        from llama_index_kilocode import KiloCodeEmbedding

        Settings.llm = llm
        Settings.embed_model = KiloCodeEmbedding()
        index = VectorStoreIndex.from_documents([Document(text="The gateway's cache lives for six hours.")])
        print(index.as_query_engine().query("How long does the cache live?"))
        ```

    Events and traces:
        What no call takes is refused before a listener hears of it, and the headers of a call show as `***` in the
        events, callbacks and spans of these methods. What a caller around them is given, such as a `StructuredLLM` or
        `predict`, goes into the framework's own spans as it is: keep secrets in `default_headers`.

    Errors:
        All are `kilocode_gateway.errors.KiloCodeError`, and `openai` errors as well (`openai.RateLimitError`, ...).
        They say what happened, why, and what to do. A stream that broke off keeps the text so far in `error.text`.

        ```python
        from kilocode_gateway.errors import ModelNotFoundError

        try:
            llm.complete("Hello", model="anthropic/claude-nonesuch")
        except ModelNotFoundError as error:
            print(error)
        ```

    Copies and pickles:
        A copy with another key, address or model uses it. A pickle carries what a worker elsewhere needs to run: the
        settings, and a key that was given by hand, so keep it as you keep the key. A key from the environment and HTTP
        clients stay behind: the worker finds its own. A function that gives the key travels with a pickle; one that
        cannot be pickled fails it.

        ```python
        other = llm.model_copy(update={"model": "openai/gpt-5.4", "temperature": 0})
        ```
    """

    if TYPE_CHECKING:
        # Type checkers make one of the fields where the class itself has none.
        def __init__(self, model: KnownModel | str = ..., **settings: Unpack[KiloCodeSettings]) -> None: ...

    @classmethod
    def class_name(cls) -> str:
        """Give the name by which events and `to_dict` call this class."""
        return "KiloCode"

    # The base's own versions read `metadata` first, which may wait for the catalog.

    @listened
    def chat(  # type: ignore[override]  # other settings are refused
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[KiloCodeCallSettings]
    ) -> ChatResponse:
        """Answer a conversation. Settings in `kwargs` hold for this call."""
        return whole(self, super(OpenAILike, self).chat, self._chat, conversation(messages), kwargs)

    @listened
    def stream_chat(  # type: ignore[override]  # other settings are refused
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[KiloCodeCallSettings]
    ) -> ChatResponseGen:
        """Answer a conversation piece by piece; the last piece carries usage and cost."""
        return streamed(self, super(OpenAILike, self).stream_chat, self._stream_chat, conversation(messages), kwargs)

    @listened
    async def achat(  # type: ignore[override]  # other settings are refused
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[KiloCodeCallSettings]
    ) -> ChatResponse:
        """Do what `chat` does, without blocking the event loop."""
        return await awhole(self, super(OpenAILike, self).achat, self._achat, conversation(messages), kwargs)

    @listened
    async def astream_chat(  # type: ignore[override]  # other settings are refused
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[KiloCodeCallSettings]
    ) -> ChatResponseAsyncGen:
        """Do what `stream_chat` does, without blocking the event loop."""
        told = super(OpenAILike, self).astream_chat
        return await astreamed(self, told, self._astream_chat, conversation(messages), kwargs)

    @listened
    def complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeCallSettings]
    ) -> CompletionResponse:
        """Answer a text. Settings in `kwargs` hold for this call."""
        alone = chat_to_completion_decorator(self._chat)
        return whole(self, super(OpenAILike, self).complete, alone, self._prompt(prompt, formatted=formatted), kwargs)

    @listened
    def stream_complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeCallSettings]
    ) -> CompletionResponseGen:
        """Answer a text piece by piece; the last piece carries usage and cost."""
        told, prompt = super(OpenAILike, self).stream_complete, self._prompt(prompt, formatted=formatted)
        return streamed(self, told, self._completion_pieces, prompt, kwargs)

    @listened
    async def acomplete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeCallSettings]
    ) -> CompletionResponse:
        """Do what `complete` does, without blocking the event loop."""
        told, prompt = super(OpenAILike, self).acomplete, self._prompt(prompt, formatted=formatted)
        return await awhole(self, told, achat_to_completion_decorator(self._achat), prompt, kwargs)

    @listened
    async def astream_complete(  # type: ignore[override]  # other settings are refused
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[KiloCodeCallSettings]
    ) -> CompletionResponseAsyncGen:
        """Do what `stream_complete` does, without blocking the event loop."""
        told, prompt = super(OpenAILike, self).astream_complete, self._prompt(prompt, formatted=formatted)
        return await astreamed(self, told, self._acompletion_pieces, prompt, kwargs)

    def _check_call(self, call: dict[str, Any]) -> None:
        check_request({name: value for name, value in call.items() if name != "use_chat_completions"}, where="KiloCode")

    def _completion_pieces(self, prompt: str, **kwargs: Any) -> CompletionResponseGen:
        pieces = self._stream_chat(prompt_to_messages(prompt), **kwargs)
        return closed_together(stream_chat_response_to_completion_response(pieces), [pieces])

    async def _acompletion_pieces(self, prompt: str, **kwargs: Any) -> CompletionResponseAsyncGen:
        pieces = Unlisted(await self._astream_chat(prompt_to_messages(prompt), **kwargs))
        return aclosed_together(astream_chat_response_to_completion_response(pieces), [pieces])

    def _prompt(self, prompt: Any, *, formatted: bool) -> str:
        if self.modalities and "audio" in self.modalities:
            raise ConfigurationError("A completion has no room for audio: call chat() or achat() instead.")
        if not isinstance(prompt, str):
            instead = (
                "A template goes to predict()" if isinstance(prompt, BasePromptTemplate) else "Messages go to chat()"
            )
            raise ConfigurationError(f"A completion expects a string, got {type(prompt).__name__}. {instead}.")
        return prompt if formatted else self.completion_to_prompt(prompt)  # type: ignore[misc]  # the base fills it

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        transport, body = self._request(messages, kwargs)
        return self._whole(transport.complete(body))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        transport, body = self._request(messages, kwargs)
        return self._whole(await transport.acomplete(body))

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        transport, body = self._request(messages, kwargs)
        asked_in = usage.active()

        def pieces() -> ChatResponseGen:
            answer = StreamedChat()
            with usage.counting_in(asked_in):
                opened = transport.stream(body)
            with opened as stream:
                for piece in stream:
                    if piece.finish_reason is None:
                        yield answer.add(piece)
            yield self._whole(stream.completion, delta="")

        return begun(pieces())

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        transport, body = self._request(messages, kwargs)
        asked_in = usage.active()

        async def pieces() -> ChatResponseAsyncGen:
            answer = StreamedChat()
            with usage.counting_in(asked_in):
                opened = await transport.astream(body)
            async with opened as stream:
                given = 0
                async for piece in stream:
                    if piece.finish_reason is None:
                        yield answer.add(piece)
                        given += 1
                        if given % _GIVEN_AT_ONCE == 0:
                            await asyncio.sleep(0)
            yield self._whole(stream.completion, delta="")

        return begun(pieces())

    def _whole(self, completion: Completion | None, delta: str | None = None) -> ChatResponse:
        assert completion is not None  # noqa: S101 - a stream that ended without an error has one
        form = (self.audio_config or {}).get("format") or "wav"
        return chat_response(completion, audio_format=form, delta=delta)
