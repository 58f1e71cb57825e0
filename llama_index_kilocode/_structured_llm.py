"""`as_structured_llm`: an LLM whose answers are objects of one class, with what they used and cost."""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.generic_utils import achat_to_completion_decorator, chat_to_completion_decorator
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import ChatPromptTemplate

from kilocode_gateway import usage
from kilocode_gateway.loops import Unlisted
from llama_index_kilocode._events import astreamed, awhole, begun, listened, streamed, unveiled, whole
from llama_index_kilocode._messages import conversation
from llama_index_kilocode._settings import check_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.base.llms.types import (
        ChatResponseAsyncGen,
        ChatResponseGen,
        CompletionResponse,
    )

OF_THE_FRAMEWORK = ("tool_required", "allow_parallel_tool_calls", "verbose", "use_chat_completions")
"""What the framework passes with a call, and what decides nothing here."""


class Noting(dict[str, Any]):
    """The settings of a call, and what is told of its answer once it is whole."""

    __slots__ = ("facts",)

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.facts: dict[str, Any] = {}

    @staticmethod
    def note(settings: dict[str, Any] | None, response: ChatResponse) -> None:
        """Keep what is told of an answer, where somebody wants it."""
        if isinstance(settings, Noting):
            settings.facts = dict(response.additional_kwargs)


class StructuredKiloCode(StructuredLLM):
    """The framework's `StructuredLLM`, whose responses tell what was used and cost, and whose streams close at once.

    `raw` of a response is the object. The last one of a stream repeats the whole object and tells what was used.
    """

    @listened
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with an object."""
        return whole(self, self._told_chat, self._chat, conversation(messages), kwargs)

    @listened
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation with an object that grows."""
        return streamed(self, self._told_stream_chat, self._stream_chat, conversation(messages), kwargs)

    @listened
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Do what `chat` does, without blocking the event loop."""
        return await awhole(self, self._told_achat, self._achat, conversation(messages), kwargs)

    @listened
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Do what `stream_chat` does, without blocking the event loop."""
        return await astreamed(self, self._told_astream_chat, self._astream_chat, conversation(messages), kwargs)

    @listened
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a text with an object."""
        call = {**kwargs, "formatted": True} if formatted else kwargs
        return whole(self, self._told_complete, self._complete, prompt, call)

    @listened
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Do what `complete` does, without blocking the event loop."""
        call = {**kwargs, "formatted": True} if formatted else kwargs
        return await awhole(self, self._told_acomplete, self._acomplete, prompt, call)

    def _check_call(self, call: dict[str, Any]) -> None:
        check_request({name: value for name, value in call.items() if name not in OF_THE_FRAMEWORK}, where="KiloCode")

    def _chat(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = Noting(kwargs)
        output = self.llm.structured_predict(**self._asked(messages, call))
        return _response(output, call.facts)

    async def _achat(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = Noting(kwargs)
        output = await self.llm.astructured_predict(**self._asked(messages, call))
        return _response(output, call.facts)

    def _stream_chat(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        call, asked_in = Noting(kwargs), usage.active()

        def pieces() -> ChatResponseGen:
            output = None
            with usage.counting_in(asked_in):
                objects = self.llm.stream_structured_predict(**self._asked(messages, call))
            with closing(objects):
                for output in objects:
                    yield _response(output, {})
            yield _response(output, call.facts)

        return begun(pieces())

    async def _astream_chat(self, messages: list[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        call, asked_in = Noting(kwargs), usage.active()

        async def pieces() -> ChatResponseAsyncGen:
            output = None
            with usage.counting_in(asked_in):
                objects = await self.llm.astream_structured_predict(**self._asked(messages, call))
            async with aclosing(Unlisted(objects)) as owned:
                async for output in owned:
                    yield _response(output, {})
            yield _response(output, call.facts)

        return begun(pieces())

    def _complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002 - the base does not look at it either
        return chat_to_completion_decorator(self.chat)(prompt, **unveiled(kwargs))

    async def _acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        return await achat_to_completion_decorator(self.achat)(prompt, **unveiled(kwargs))

    _told_chat = llm_chat_callback()(_chat)
    _told_achat = llm_chat_callback()(_achat)
    _told_stream_chat = llm_chat_callback()(_stream_chat)
    _told_astream_chat = llm_chat_callback()(_astream_chat)
    _told_complete = llm_completion_callback()(_complete)
    _told_acomplete = llm_completion_callback()(_acomplete)

    def _asked(self, messages: list[ChatMessage], call: Noting) -> dict[str, Any]:
        prompt = ChatPromptTemplate(message_templates=messages)
        return {"output_cls": self.output_cls, "prompt": prompt, "llm_kwargs": call}


def _response(output: Any, facts: dict[str, Any]) -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=output.model_dump_json())
    return ChatResponse(message=message, raw=output, additional_kwargs=facts)
