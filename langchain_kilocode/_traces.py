"""Tells LangSmith what an answer cost, and that an answer from LangChain's cache cost nothing.

LangSmith reads the cost of a run from `usage_metadata["total_cost"]`, which its tracer takes from the message. It must
not stand there for everybody: langchain-core adds `usage_metadata` up with a helper that knows whole numbers only and
raises for a fraction of a dollar. So the tracer alone is handed a copy of the message that says it.
"""

from __future__ import annotations

import copy
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.config import ensure_config
from langchain_openai.chat_models.base import BaseChatOpenAI

from kilocode_gateway.loops import Unlisted
from langchain_kilocode._replies import PROVIDER, at_no_cost, combined_output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseCallbackHandler, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatResult, Generation, LLMResult
    from langchain_core.runnables import RunnableConfig


# Only the last class of this line is ever made: the others' validators, some 20 ms each at import, are not built.
class TracedChatModel(BaseChatOpenAI, defer_build=True):
    """A chat model whose runs in LangSmith carry their cost, in each way of asking."""

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the framework's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer piece by piece."""
        config = ensure_config(config)
        manager = CallbackManager.configure(config.get("callbacks"), self.callbacks)
        yield from super().stream(input, _telling(config, manager), **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the framework's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer piece by piece, without blocking the event loop."""
        config = ensure_config(config)
        manager = AsyncCallbackManager.configure(config.get("callbacks"), self.callbacks)
        chunks: Any = super().astream(input, _telling(config, manager), **kwargs)
        async with aclosing(Unlisted(chunks)) as owned:
            async for chunk in owned:
                yield chunk

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        tell_cost(run_manager)
        return super()._generate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        tell_cost(run_manager)
        return await super()._agenerate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        return combined_output(llm_outputs)

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        # Copies: what a cache in memory hands out is what it keeps, and the base class writes into it.
        kept = [copy.copy(generation) for generation in cache_val]
        generations = super()._convert_cached_generations(kept)
        for generation in generations:
            if isinstance(generation.message, AIMessage):
                generation.message = at_no_cost(generation.message)
        return generations


def tell_cost(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> None:
    """Make the tracers of one run tell LangSmith what the answer cost."""
    if run_manager is not None:
        run_manager.handlers = [_teller(handler) for handler in run_manager.handlers]


def _telling(config: RunnableConfig, manager: CallbackManager | AsyncCallbackManager) -> RunnableConfig:
    """Give the config with tracers that tell the cost; langchain-core hands a stream no run manager to reach them."""
    handlers = [_teller(handler) for handler in manager.handlers]
    if all(ours is theirs for ours, theirs in zip(handlers, manager.handlers, strict=True)):
        return config
    manager.handlers = handlers
    manager.inheritable_handlers = [_teller(handler) for handler in manager.inheritable_handlers]
    return {**config, "callbacks": manager}


def _teller(handler: BaseCallbackHandler) -> BaseCallbackHandler:
    # Imported where a run has handlers at all: it brings LangSmith's client.
    from langchain_core.tracers.langchain import LangChainTracer

    if not isinstance(handler, LangChainTracer) or hasattr(handler, "told_for"):
        return handler
    # A copy that shares the tracer's runs and its client; the tracer itself says that it is its own copy.
    kind = _telling_class(type(handler))
    teller: BaseCallbackHandler = object.__new__(kind)
    teller.__dict__.update(handler.__dict__, told_for=handler)
    return teller


@cache
def _telling_class(tracer: type[Any]) -> type[Any]:
    """Give the class of a tracer, with the cost told at the end of a model's run."""

    def on_llm_end(self: Any, response: LLMResult, **kwargs: Any) -> Any:
        return tracer.on_llm_end(self, _with_cost(response), **kwargs)

    def equals(self: Any, other: object) -> bool:
        # Where the original is added as well, it counts as being there already.
        return other is self or other is self.told_for

    members = {"on_llm_end": on_llm_end, "told_for": None, "__eq__": equals, "__hash__": object.__hash__}
    return type(tracer.__name__, (tracer,), members)


def _with_cost(response: LLMResult) -> LLMResult:
    generations = [[_costed(generation) for generation in batch] for batch in response.generations]
    return response.model_copy(update={"generations": generations})


def _costed(generation: Any) -> Any:
    message = generation.message if isinstance(generation, ChatGeneration) else None
    if not isinstance(message, AIMessage) or message.response_metadata.get("model_provider") != PROVIDER:
        return generation
    cost = message.response_metadata.get("cost")
    if cost is None or message.usage_metadata is None:
        return generation
    used = {**cast("dict[str, Any]", message.usage_metadata), "total_cost": cost}
    return generation.model_copy(update={"message": message.model_copy(update={"usage_metadata": used})})
