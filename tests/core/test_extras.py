"""Importing an integration without its framework says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What a process without the framework sees, whatever is installed here.
BLOCK = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == {name!r} else find_spec(name, *rest)

"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


SENTENCE = "ImportError: {package} needs {framework}, which is missing: run pip install 'kilocode-gateway[{extra}]'"
LANGCHAIN = SENTENCE.format(package="langchain_kilocode", framework="LangChain", extra="langchain")
LLAMA_INDEX = SENTENCE.format(package="llama_index_kilocode", framework="LlamaIndex", extra="llama-index")


@pytest.mark.parametrize("missing", ["langchain_core", "langchain_openai"])
@pytest.mark.parametrize("module", ["langchain_kilocode", "langchain_kilocode.chat_models"])
def test_without_langchain_the_error_is_one_sentence_with_the_command(module: str, missing: str) -> None:
    shown = run(BLOCK.format(name=missing) + f"import {module}")
    assert shown.rstrip().splitlines()[-1] == LANGCHAIN
    assert "During handling" not in shown


@pytest.mark.parametrize("missing", ["llama_index", "llama_index.core", "llama_index.llms.openai_like"])
@pytest.mark.parametrize("module", ["llama_index_kilocode", "llama_index_kilocode.llms"])
def test_without_llama_index_the_error_is_one_sentence_with_the_command(module: str, missing: str) -> None:
    shown = run(BLOCK.format(name=missing) + f"import {module}")
    assert shown.rstrip().splitlines()[-1] == LLAMA_INDEX
    assert "During handling" not in shown
