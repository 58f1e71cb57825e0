"""`KiloCode`: any model of the Kilo Gateway as an LLM of LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_response_to_completion_response,
    chat_to_completion_decorator,
    prompt_to_messages,
    stream_chat_response_to_completion_response,
)
from llama_index.llms.openai_like import OpenAILike

from kilocode_gateway import usage
from kilocode_gateway.errors import ConfigurationError
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

    from llama_index.core.base.llms.types import (
        ChatMessage,
        ChatResponse,
        ChatResponseAsyncGen,
        ChatResponseGen,
        CompletionResponse,
        CompletionResponseAsyncGen,
        CompletionResponseGen,
    )

    from kilocode_gateway.wire import Completion


class KiloCode(ToolCalling):
    """Any model of the Kilo Gateway as an LLM.

    Setup:
        Install the package and set the key from your profile at app.kilo.ai. Without a key free models answer.

        ```bash
        pip install "kilocode-gateway[llama-index]"
        export KILOCODE_API_KEY="your-key"
        ```

    Key settings:
        model: The id as the gateway lists it, such as `anthropic/claude-sonnet-4.6`. Default `kilo/auto`: it chooses.
        temperature, max_tokens, top_p, top_k, min_p, seed, stop, frequency_penalty, presence_penalty,
            repetition_penalty, logprobs, top_logprobs: As everywhere. None of them is sent unless you set it.
        reasoning, reasoning_effort: How much the model thinks: `{"effort": "high"}`, `{"max_tokens": 2000}`; `"high"`.
        provider, verbosity, transforms, plugins: The gateway's own, such as `provider={"sort": "price"}`.
        extra_body: Any further field of the request.
        api_key, api_base, organization_id: From `KILOCODE_API_KEY`, `KILOCODE_BASE_URL` and `KILOCODE_ORGANIZATION_ID`
            unless given (`KILO_API_KEY` and `KILO_ORG_ID` count as well). No `OPENAI_*` variable is ever read.
        feature: What the gateway's usage page calls this program; from `KILOCODE_FEATURE` unless given.
        timeout: Seconds for each read (600), or (connect, read).
        max_retries: Attempts after the first, for errors that may pass (2).
        context_window, is_function_calling_model: Instead of what the catalog says. It is asked when `metadata` is read
            first; a server that must not wait for it, two seconds at most, calls `await llm.aload()` when it starts.
        system_prompt, callback_manager, output_parser, pydantic_program_mode: As in every LLM of LlamaIndex.

        What shapes the answer may be given to a single call too: every field of the request, `model`, `extra_body`,
        `extra_headers` and `timeout`. The call wins over `additional_kwargs`, those over the fields, dicts are merged,
        and None takes a setting out. Key, address, organization, `max_retries`, `default_headers` and clients belong to
        the model: for others, make a copy or another `KiloCode`. Unknown names are refused.

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

    Images, documents, audio, video:
        ```python
        from llama_index.core.llms import ImageBlock, TextBlock

        picture = ImageBlock(url="https://example.com/cat.png")
        response = llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), picture])])
        ```

        What the model does not take, by the catalog at hand, is refused before it is sent, unless `check_inputs=False`.

    Token usage and cost:
        ```python
        facts = llm.chat(messages).additional_kwargs
        print(facts["prompt_tokens"], facts["completion_tokens"], facts.get("cost"), facts["model"])

        from kilocode_gateway import track_usage

        with track_usage() as used:
            llm.complete("Name a fruit.")
        print(used)
        ```

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
        clients stay behind: the worker finds its own. A function that gives the key travels if it can be pickled.
    """

    @classmethod
    def class_name(cls) -> str:
        """Give the name by which events and `to_dict` call this class."""
        return "KiloCode"

    # The base's own versions read `metadata` first, which may wait for the catalog.

    @listened
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation. Settings in `kwargs` hold for this call."""
        return whole(self, super(OpenAILike, self).chat, self._chat, conversation(messages), kwargs)

    @listened
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece; the last piece carries usage and cost."""
        return streamed(self, super(OpenAILike, self).stream_chat, self._stream_chat, conversation(messages), kwargs)

    @listened
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Do what `chat` does, without blocking the event loop."""
        return await awhole(self, super(OpenAILike, self).achat, self._achat, conversation(messages), kwargs)

    @listened
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Do what `stream_chat` does, without blocking the event loop."""
        told = super(OpenAILike, self).astream_chat
        return await astreamed(self, told, self._astream_chat, conversation(messages), kwargs)

    @listened
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a text. Settings in `kwargs` hold for this call."""
        alone = chat_to_completion_decorator(self._chat)
        return whole(self, super(OpenAILike, self).complete, alone, self._prompt(prompt, formatted=formatted), kwargs)

    @listened
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a text piece by piece; the last piece carries usage and cost."""
        told, prompt = super(OpenAILike, self).stream_complete, self._prompt(prompt, formatted=formatted)
        return streamed(self, told, self._completion_pieces, prompt, kwargs)

    @listened
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Do what `complete` does, without blocking the event loop."""
        told, prompt = super(OpenAILike, self).acomplete, self._prompt(prompt, formatted=formatted)
        return await awhole(self, told, achat_to_completion_decorator(self._achat), prompt, kwargs)

    @listened
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Do what `stream_complete` does, without blocking the event loop."""
        told, prompt = super(OpenAILike, self).astream_complete, self._prompt(prompt, formatted=formatted)
        return await astreamed(self, told, self._acompletion_pieces, prompt, kwargs)

    def _check_call(self, call: dict[str, Any]) -> None:
        check_request({name: value for name, value in call.items() if name != "use_chat_completions"}, where="KiloCode")

    def _completion_pieces(self, prompt: str, **kwargs: Any) -> CompletionResponseGen:
        pieces = self._stream_chat(prompt_to_messages(prompt), **kwargs)
        return closed_together(stream_chat_response_to_completion_response(pieces), [pieces])

    async def _acompletion_pieces(self, prompt: str, **kwargs: Any) -> CompletionResponseAsyncGen:
        pieces = await self._astream_chat(prompt_to_messages(prompt), **kwargs)
        return aclosed_together(astream_chat_response_to_completion_response(pieces), [pieces])

    def _prompt(self, prompt: str, *, formatted: bool) -> str:
        if self.modalities and "audio" in self.modalities:
            raise ConfigurationError("A completion has no room for audio: call chat() or achat() instead.")
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
                async for piece in stream:
                    if piece.finish_reason is None:
                        yield answer.add(piece)
            yield self._whole(stream.completion, delta="")

        return begun(pieces())

    def _whole(self, completion: Completion | None, delta: str | None = None) -> ChatResponse:
        assert completion is not None  # noqa: S101 - a stream that ended without an error has one
        form = (self.audio_config or {}).get("format") or "wav"
        return chat_response(completion, audio_format=form, delta=delta)
