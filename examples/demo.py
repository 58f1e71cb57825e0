"""Show the main job: LangChain and LlamaIndex on the Kilo Gateway, with one catalog and one bill.

Runs on the real gateway when KILOCODE_API_KEY is set, else on the local one that comes with the package.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from pydantic import BaseModel, Field

from kilocode_gateway import Catalog, LocalGateway, track_usage
from langchain_kilocode import ChatKiloCode
from llama_index_kilocode import KiloCode, KiloCodeEmbedding

if TYPE_CHECKING:
    from decimal import Decimal

    from llama_index.core.schema import NodeWithScore

README = Path(__file__).parent.parent / "README.md"
QUESTION = "Which environment variable holds the API key?"


def choose_gateway(stack: ExitStack) -> None:
    """Use the real gateway where a key is set, else start the local one; say which in one line."""
    if os.environ.get("KILOCODE_API_KEY", "").strip():
        print("KILOCODE_API_KEY is set: this runs on the Kilo Gateway and costs a fraction of a cent.")
        return
    gateway = stack.enter_context(LocalGateway())
    os.environ["KILOCODE_BASE_URL"], os.environ["KILOCODE_API_KEY"] = gateway.base_url, gateway.api_key
    print(f"No KILOCODE_API_KEY is set: a local gateway at {gateway.base_url} answers, by rule and not by a model.")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}")


def show_catalog() -> None:
    """List kilo/auto, then the cheapest models that can call tools."""
    catalog = Catalog.discover()
    free = catalog.find(free=True)
    title(f"The catalog: {len(catalog)} models, {len(free)} of them free; kilo/auto, then the cheapest that call tools")
    print(f"{'model':<40} {'context':>9} {'USD/M in':>9} {'USD/M out':>9}  sees images")
    for info in [catalog["kilo/auto"], *catalog.find(tools=True, sort="price")[:6]]:
        prices = "".join(f"{show_price(price):>10}" for price in (info.pricing.input, info.pricing.output))
        print(f"{info.id:<40} {info.context_window:>9,}{prices}  {'yes' if info.supports_vision else 'no'}")


def show_price(price: Decimal | None) -> str:
    """Write a price in USD per million tokens."""
    return "varies" if price is None else f"{price:.2f}"


def stream_chain(model: ChatKiloCode) -> None:
    """Stream a LangChain chain over this repository's README; a bar stands between the pieces as they arrive."""
    title("LangChain: a chain on kilo/auto over this repository's README, streamed piece by piece")
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer in one sentence, from this context only:\n\n{page}"), ("human", "{question}")]
    )
    chain = prompt | model | StrOutputParser()
    question = "How long is the list of models kept on disk?"
    print(f"question: {question}\n  answer: ", end="")
    for piece in chain.stream({"page": README.read_text(encoding="utf-8"), "question": question}):
        print(piece, end="|" if piece else "", flush=True)
    print()


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


def run_agent(model: ChatKiloCode) -> None:
    """Let a LangChain agent call a tool."""
    title("LangChain: an agent that calls a tool")
    agent = create_agent(model, tools=[multiply])
    for message in agent.invoke({"messages": [("human", "Multiply 6 by 7.")]})["messages"]:
        for call in getattr(message, "tool_calls", None) or []:
            print(f"{'calls':>6}: {call['name']}({', '.join(f'{key}={value}' for key, value in call['args'].items())})")
        if message.text:
            print(f"{message.type:>6}: {message.text}")


class Person(BaseModel):
    """What a sentence tells about a person."""

    name: str = Field(description="The person's first name")
    age: int = Field(description="The age in years")
    city: str = Field(description="The city where the person lives")


def extract(model: ChatKiloCode) -> None:
    """Fill a schema."""
    title("LangChain: structured output")
    print(repr(model.with_structured_output(Person).invoke("Anna is 36 and lives in Lisbon.")))


def query_readme(model: KiloCode) -> None:
    """Ask a LlamaIndex query engine over this repository's README."""
    title("LlamaIndex: a query engine over this repository's README")
    readme = Document(text=README.read_text(encoding="utf-8"), metadata={"file": README.name})
    index = VectorStoreIndex.from_documents(
        [readme],
        embed_model=KiloCodeEmbedding(),
        transformations=[SentenceSplitter(chunk_size=200, chunk_overlap=20)],
    )
    response = index.as_query_engine(llm=model, similarity_top_k=3).query(QUESTION)
    print(f"question: {QUESTION}\n  answer: {response}")
    print(f"  source: {source_sentence(str(response), response.source_nodes)}")


def source_sentence(answer: str, nodes: list[NodeWithScore]) -> str:
    """Give the sentence of the sources that shares most words with the answer, and where it stands."""

    def likeness(sentence: str) -> float:
        return len(words_of(answer) & words_of(sentence)) / (len(sentence.split()) + 5)

    sentences = {
        sentence: node.metadata["file"]
        for node in nodes
        for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", node.get_content().strip())
    }
    best = max(sentences, key=likeness)
    return f'"{" ".join(best.split())}" ({sentences[best]})'


def words_of(text: str) -> set[str]:
    """Give the words of a text."""
    return set(re.findall(r"\w+", text.lower()))


def main() -> None:
    """Run everything, and print what it cost."""
    with ExitStack() as stack:
        choose_gateway(stack)
        used = stack.enter_context(track_usage())
        show_catalog()
        model = ChatKiloCode(model="kilo/auto")
        stream_chain(model)
        run_agent(model)
        extract(model)
        query_readme(KiloCode(model="kilo/auto"))
        title("What all of it used")
        print(used)


if __name__ == "__main__":
    main()
