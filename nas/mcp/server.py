"""The server on stdin and stdout: the tools, and errors of the library in their one sentence."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import ValidationError

from nas import __version__
from nas._failures import failure_sentence
from nas.errors import NasError
from nas.mcp.tools import READING, STARTING

INSTRUCTIONS = """\
anyfit takes from a network that was trained once (a supernet) the best smaller one (a subnet) for this machine and a
budget. "Make this run in 20 ms": start_search(model, latency_ms=20), follow_job(job_id, wait_s=30) until is_live is
false, read_run(run), check promise (measured against promised latency), export(run, name).
Latencies are measured on this machine and given at its calm pace. "restless" marks a figure that was measured while the
machine was too disturbed to be trusted: tell the user, and measure again later. Predicted latencies are no promise.
One job runs at a time, others wait; jobs go on when the client disconnects, and list_jobs finds them again."""


class Server(MCPServer):
    """An MCP server whose tools fail with the library's own sentence."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context | None = None) -> Any:
        """Call a tool; what a caller can mend arrives as one sentence."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            sentence = _sentence(error.__cause__)
            if sentence is None:
                raise
            raise ToolError(sentence) from error.__cause__


def _sentence(error: BaseException | None) -> str | None:
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return _sentence(error.exceptions[0])
    if isinstance(error, NasError):
        return str(error)
    if isinstance(error, ValidationError):
        return "; ".join(_wrong(dict(one)) for one in error.errors())
    return failure_sentence(error) if isinstance(error, Exception) else None


def _wrong(found: dict[str, Any]) -> str:
    """Say which argument is wrong, and what is expected."""
    name = ".".join(map(str, found["loc"])) or "the arguments"
    given = "" if found["type"] == "missing" else f" is {found['input']!r}, but"
    expected = found["msg"][0].lower() + found["msg"][1:]
    return f"{name}{given or ':'} {expected}"


def make_server() -> Server:
    """Return the server with all tools."""
    server = Server("anyfit", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    for tool in READING:
        server.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    for tool in STARTING:
        server.add_tool(tool, annotations=ToolAnnotations(destructive_hint=False, open_world_hint=False))
    return server


def serve() -> None:
    """Serve on stdin and stdout until the client goes away; whatever else is printed goes to stderr."""
    make_server().run("stdio")
