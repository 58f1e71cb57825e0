"""How LangChain's classes are asked, and the rows that ask them."""

from __future__ import annotations

from typing import Any

from benchmarks import probing
from benchmarks.probing import Rows, watched

INVOKE = ("invoke", "ainvoke")
STREAM = ("stream", "astream")
ALL = (*INVOKE, *STREAM)
SYNC = ("invoke",)

ROWS = Rows(ALL)
probe = ROWS.probe


class Bench(probing.Bench):
    """A chat model class on a gateway of its own, asked in one way."""

    def ask(self, model: Any = None, messages: Any = "Hello", **call: Any) -> Any:
        """Ask in the bench's way, and give the answer; of a stream, its pieces added up, or None when it is empty."""
        model = self.model() if model is None else model
        if self.way in STREAM:
            pieces = self.pieces(model, messages, **call)
            if not pieces:
                return None
            whole = pieces[0]
            for piece in pieces[1:]:
                with watched():
                    # Structured answers grow: the last one is whole.
                    whole = whole + piece if hasattr(piece, "tool_calls") else piece
            return whole
        with watched():
            if self.way == "invoke":
                return model.invoke(messages, **call)
            return self.run(model.ainvoke(messages, **call))

    def pieces(self, model: Any, messages: Any = "Hello", **call: Any) -> list[Any]:
        """Ask for a stream, and list its pieces."""
        found: list[Any] = []
        with watched():
            if self.way == "stream":
                found.extend(model.stream(messages, **call))
            else:
                self.run(_collect(model, messages, call, found))
        return found

    def leave_early(self, model: Any) -> bool:
        """Take one piece of a stream and leave; tell whether the connection was closed within a few seconds."""
        with watched():
            if self.way == "stream":
                for piece in model.stream("Hello"):
                    if piece.text:
                        break
        return bool(self.run(self._left(model)))

    async def _left(self, model: Any) -> bool:
        # The loop runs on while it is waited: what it cleans up later counts.
        if self.way == "astream":
            with watched():
                pieces = model.astream("Hello")
                async for piece in pieces:
                    if piece.text:
                        break
                await pieces.aclose()
        return await self.hung_up()


async def _collect(model: Any, messages: Any, call: dict[str, Any], found: list[Any]) -> None:
    async for piece in model.astream(messages, **call):
        found.append(piece)  # noqa: PERF401 - a list comprehension would lose the pieces before an error
