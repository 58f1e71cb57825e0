"""Probes of tools: odd streams, what is asked for, what agents make of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.tools import FunctionTool

from benchmarks.li.bench import RUNS, TOOL_WAYS, blocks, probe, text_of, user
from benchmarks.probing import MODEL, YES, kept, watched
from benchmarks.replies import call, chunk, reply, say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

STREAMED = "Tool calls, and how streams write them"
TOOLS = "Tools"
AGENTS = "Agents"
STREAMS = TOOL_WAYS[2:]
CALLS = ("predict_and_call", "apredict_and_call")
A, B = '{"where": "here"}', '{"where": "there"}'
EXPECTED = [("a", "look", {"where": "here"}), ("b", "look", {"where": "there"})]
WRONG = '{"where": "he'


def look(where: str = "") -> str:
    """Look somewhere."""
    return f"Seen {where}."


TOOL = FunctionTool.from_defaults(look)


def _together(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [one for each in calls for one in each["tool_calls"]]}


def _judge_calls(bench: Bench, *deltas: dict[str, Any]) -> str:
    bench.script(reply(*deltas, finish="tool_calls"))
    model = bench.model()
    found = bench.call_tools([TOOL], model, allow_parallel_tool_calls=True)
    with watched():
        for response in found:  # an agent reads the calls of every piece
            calls = model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    read = [(one.tool_id, one.tool_name, one.tool_kwargs) for one in calls]
    if read == EXPECTED:
        return YES
    return "no: calls mixed up" if len(read) == len(EXPECTED) else f"no: {len(read)} calls instead of {len(EXPECTED)}"


@probe(STREAMED, ways=TOOL_WAYS)
def two_calls(bench: Bench) -> str:
    """Two tool calls, as they should be written."""
    return _judge_calls(
        bench,
        call("look", "", index=0, id="a"),
        call(arguments=A[:5], index=0),
        call(arguments=A[5:], index=0),
        call("look", B, index=1, id="b"),
    )


@probe(STREAMED, ways=STREAMS)
def one_chunk(bench: Bench) -> str:
    """Two calls in one chunk."""
    return _judge_calls(bench, _together(call("look", A, index=0, id="a"), call("look", B, index=1, id="b")))


@probe(STREAMED, ways=STREAMS)
def interleaved(bench: Bench) -> str:
    """Two calls whose pieces come in turns."""
    return _judge_calls(
        bench,
        call("look", A[:5], index=0, id="a"),
        call("look", B[:5], index=1, id="b"),
        call(arguments=A[5:], index=0),
        call(arguments=B[5:], index=1),
    )


@probe(STREAMED, ways=STREAMS)
def repeated(bench: Bench) -> str:
    """Pieces that repeat the call's id and name."""
    return _judge_calls(
        bench,
        call("look", A[:5], index=0, id="a"),
        call("look", A[5:], index=0, id="a"),
        call("look", B, index=1, id="b"),
    )


@probe(STREAMED, ways=STREAMS)
def no_index(bench: Bench) -> str:
    """Pieces without `index`."""
    return _judge_calls(
        bench, call("look", "", id="a"), call(arguments=A[:5]), call(arguments=A[5:]), call("look", B, id="b")
    )


@probe(STREAMED, ways=STREAMS)
def string_index(bench: Bench) -> str:
    """Pieces whose `index` is a string."""
    return _judge_calls(
        bench,
        call("look", A[:5], index="0", id="a"),
        call(arguments=A[5:], index="0"),
        call("look", B, index="1", id="b"),
    )


@probe(STREAMED, ways=STREAMS)
def all_at_zero(bench: Bench) -> str:
    """Two calls that both come at `index` 0, each with its id."""
    return _judge_calls(
        bench,
        call("look", A[:5], index=0, id="a"),
        call(arguments=A[5:], index=0),
        call("look", B, index=0, id="b"),
    )


@probe(STREAMED, ways=STREAMS)
def last_chunk(bench: Bench) -> str:
    """The last response, which brings usage alone, has the text and the call."""
    bench.script(
        Reply.chunks(
            [
                chunk({"content": "I look."}),
                chunk(call("look", A, index=0, id="a")),
                chunk({}, "tool_calls"),
                {**chunk({}), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
            ]
        )
    )
    last = bench.call_tools([TOOL])[-1]
    return kept(text_of(last) == "I look." and len(blocks(last, "ToolCallBlock")) == 1)


@probe(TOOLS, ways=TOOL_WAYS)
def empty_arguments(bench: Bench) -> str:
    """A call with empty arguments."""
    bench.script(reply(call("look", "", index=0, id="a"), finish="tool_calls"))
    model = bench.model()
    last = bench.call_tools([TOOL], model)[-1]
    with watched():
        found = model.get_tool_calls_from_response(last)
    return kept([(one.tool_name, one.tool_kwargs) for one in found] == [("look", {})])


@probe(TOOLS, ways=TOOL_WAYS)
def first_call_only(bench: Bench) -> str:
    """Of two calls the first alone is given, unless parallel ones are allowed."""
    bench.script(reply(call("look", A, index=0, id="a"), call("look", B, index=1, id="b"), finish="tool_calls"))
    message = bench.call_tools([TOOL])[-1].message
    counts = (
        sum(type(block).__name__ == "ToolCallBlock" for block in message.blocks),
        len(message.additional_kwargs.get("tool_calls") or ()),
    )
    return kept(counts == (1, 1), f"no: {counts[0]} as blocks, {counts[1]} in `additional_kwargs`")


@probe(TOOLS, ways=TOOL_WAYS)
def parallel_field(bench: Bench) -> str:
    """`parallel_tool_calls`, which not every model takes, is not sent unless it is set."""
    bench.script(say())
    bench.call_tools([TOOL])
    return kept("parallel_tool_calls" not in bench.sent, f"no: sent {bench.sent.get('parallel_tool_calls')}")


@probe(TOOLS, ways=TOOL_WAYS)
def history_kept(bench: Bench) -> str:
    """The list of messages that was given is not changed."""
    bench.script(say())
    history = [user("Hello")]
    bench.call_tools([TOOL], chat_history=history)
    return kept(len(history) == 1 and len(bench.sent["messages"]) > 1, f"no: {len(history)} messages afterwards")


@probe(TOOLS, ways=TOOL_WAYS)
def own_schema(bench: Bench) -> str:
    """A tool's schema goes out as the tool tells it."""
    bench.script(say())
    wanted = copy.deepcopy(TOOL.metadata.get_parameters_dict())
    bench.call_tools([TOOL])
    sent = bench.sent["tools"][0]["function"]["parameters"]
    added = sorted(set(sent) - set(wanted))
    return kept(sent == wanted, f"no: with {', '.join(added)}")


@probe(TOOLS, ways=TOOL_WAYS)
def required(bench: Bench) -> str:
    """`tool_required=True` requires a call."""
    bench.script(say())
    bench.call_tools([TOOL], tool_required=True)
    return kept(bench.sent.get("tool_choice") == "required", f"no: {bench.sent.get('tool_choice')}")


@probe(TOOLS, ways=TOOL_WAYS)
def by_name(bench: Bench) -> str:
    """`tool_choice="look"` requires this tool."""
    bench.script(say())
    bench.call_tools([TOOL], tool_choice="look")
    wanted = {"type": "function", "function": {"name": "look"}}
    return kept(bench.sent.get("tool_choice") == wanted, f"no: {bench.sent.get('tool_choice')}")


@probe(TOOLS, ways=TOOL_WAYS)
def choice_without_tools(bench: Bench) -> str:
    """No choice of tool is sent where there are no tools."""
    bench.script(say())
    bench.call_tools([], tool_required=True)
    return kept(bench.sent.get("tool_choice") is None, f"no: {bench.sent.get('tool_choice')}")


@probe(TOOLS, ways=CALLS)
def call_the_tool(bench: Bench) -> str:
    """`predict_and_call` calls the tool."""
    return _judge_predict_and_call(bench, bench.model())


@probe(TOOLS, ways=CALLS)
def told_of_no_tools_call(bench: Bench) -> str:
    """`predict_and_call` without being told that the model calls tools."""
    return _judge_predict_and_call(bench, bench.model(bare=True, is_chat_model=True))


def _judge_predict_and_call(bench: Bench, model: Any) -> str:
    bench.script(reply(call("look", A, index=0, id="a"), finish="tool_calls"))
    (found,) = bench.do(model, bench.way, [TOOL], user_msg="Look.")
    return kept(str(found) == "Seen here.", "no: not called")


def _answers(bench: Bench) -> None:
    bench.script(reply(call("look", A, index=0, id="a"), finish="tool_calls"), say("It is here."))


def _judge_run(bench: Bench, answer: Any) -> str:
    result = next((one["content"] for one in bench.sent["messages"] if one["role"] == "tool"), None)
    return kept((str(answer), result) == ("It is here.", "Seen here."), "no: not called")


@probe(AGENTS, ways=RUNS)
def function_agent(bench: Bench) -> str:
    """A `FunctionAgent` calls a tool and answers."""
    _answers(bench)
    return _judge_run(bench, bench.agent([TOOL]))


@probe(AGENTS, ways=RUNS)
def told_of_no_tools_agent(bench: Bench) -> str:
    """A `FunctionAgent` without being told that the model calls tools."""
    _answers(bench)
    return _judge_run(bench, bench.agent([TOOL], bench.model(bare=True, is_chat_model=True)))


@probe(AGENTS, ways=("run",))
def told_of_no_tools_workflow(bench: Bench) -> str:
    """`AgentWorkflow` makes an agent that calls functions, without being told that the model can."""
    model = bench.model(bare=True, is_chat_model=True)
    with watched():
        workflow = AgentWorkflow.from_tools_or_functions([look], llm=model)
    (agent,) = workflow.agents.values()
    return kept(isinstance(agent, FunctionAgent), f"no: a {type(agent).__name__}")


@probe(AGENTS, ways=RUNS)
def parallel_in_agents(bench: Bench) -> str:
    """A `FunctionAgent` runs two calls that come at once."""
    both = _together(call("look", A, index=0, id="a"), call("look", B, index=1, id="b"))
    bench.script(reply(both, finish="tool_calls"), say("Both."))
    answer = str(bench.agent([TOOL]))
    results = sorted(str(one["content"]) for one in bench.sent["messages"] if one["role"] == "tool")
    return kept(answer == "Both." and results == ["Seen here.", "Seen there."], f"no: {len(results)} results")


@probe(AGENTS, ways=RUNS)
def wrong_arguments(bench: Bench) -> str:
    """Arguments that are no JSON: the tool does not run, the model is told, the agent goes on."""
    ran: list[str] = []

    def note(where: str = "") -> str:
        """Look somewhere."""
        ran.append(where)
        return "Seen."

    bench.script(reply(call("note", WRONG, index=0, id="a"), finish="tool_calls"), say("I try again."))
    answer = bench.agent([FunctionTool.from_defaults(note)])
    if ran:
        return f"no: the tool ran with {ran[0]!r}"
    results = [one for one in bench.sent["messages"] if one["role"] == "tool"]
    return kept(str(answer) == "I try again." and results, "no: the model is not told")


@probe(AGENTS, ways=RUNS)
def react(bench: Bench) -> str:
    """A `ReActAgent` calls a tool and answers."""
    bench.script(
        say(f"Thought: I look.\nAction: look\nAction Input: {A}"), say("Thought: I can answer.\nAnswer: It is here.")
    )
    answer = bench.agent([TOOL], kind=ReActAgent)
    seen = any("Seen here." in str(one["content"]) for one in bench.sent["messages"])
    return kept(str(answer) == "It is here." and seen, "no: not called")


@probe(AGENTS, ways=RUNS)
def agent_usage(bench: Bench) -> str:
    """What an agent gives at its end tells the tokens."""
    bench.script(say())
    with watched():
        raw = bench.agent([TOOL], bench.model(MODEL)).raw or {}
    found = (raw.get("usage") or {}) if isinstance(raw, dict) else raw.usage.model_dump()
    return kept(found.get("total_tokens"))
