"""The server as an agent meets it: `nas mcp` in a process of its own, and the SDK's client."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from tests.conftest import end_jobs

MODEL = "mbv3-cifar10"
TOOLS = {
    "list_models", "describe_model", "start_search", "start_profile", "list_jobs", "follow_job", "cancel_job",
    "list_runs", "read_run", "compare", "export",
}  # fmt: skip


class Agent:
    """A client that calls tools one after the other."""

    def __init__(self, portal: BlockingPortal, session: ClientSession) -> None:
        self._portal, self._session = portal, session

    def tools(self) -> list[Any]:
        """Return the tools as the server lists them."""
        return self._portal.call(self._session.list_tools).tools

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return what a tool answers, which must not be an error; the client checks it against the schema."""
        found = self._portal.call(self._session.call_tool, tool, arguments)
        assert not found.is_error, found.content
        return found.structured_content

    def error(self, tool: str, **arguments: Any) -> str:
        """Return the sentence of a tool that must fail."""
        found = self._portal.call(self._session.call_tool, tool, arguments)
        assert found.is_error
        (said,) = found.content
        assert isinstance(said, TextContent)
        return said.text

    def followed(
        self, job: dict[str, Any], until: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Follow a job to its end, or until something holds."""
        for _ in range(300):
            job = self.call("follow_job", job_id=job["job_id"], wait_s=10.0 if until is None else 0.3)
            if not job["is_live"] or (until is not None and until(job)):
                return job
        raise AssertionError("it took too long")


@contextmanager
def connected(runs: Path) -> Iterator[Agent]:
    """Start a server, and a client of it."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "nas", "mcp", "--runs", str(runs)], env=dict(os.environ)
    )

    @asynccontextmanager
    async def session() -> AsyncIterator[ClientSession]:
        async with stdio_client(server) as streams, ClientSession(*streams) as opened:
            await opened.initialize()
            yield opened

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(session()) as opened:
        yield Agent(portal, opened)


@pytest.fixture(scope="module")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("agent") / "runs"
    yield folder
    end_jobs(folder)


@pytest.fixture(scope="module")
def agent(runs_folder: Path, made: Path) -> Iterator[Agent]:
    """A client on a machine that has a small profile of the shipped classifier, for one thread."""
    with connected(runs_folder) as found:
        yield found


@pytest.fixture(scope="module")
def found(agent: Agent) -> dict[str, Any]:
    """The end of a search whose budget asks for a choice, with the budget beside it."""
    profile = agent.call("describe_model", model=MODEL)["profile"]
    budget_ms = round((profile["smallest_latency_ms"] * profile["largest_latency_ms"]) ** 0.5 * 1.2, 3)
    job = agent.call("start_search", model=MODEL, latency_ms=budget_ms, trials=60)
    assert job["is_live"] and job["command"].startswith("nas search --model mbv3-cifar10")
    job = agent.followed(job)
    assert job["state"] == "finished", job
    return job | {"budget_ms": budget_ms}


def test_tools_say_what_they_take_and_answer(agent: Agent) -> None:
    tools = {tool.name: tool for tool in agent.tools()}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool.description and tool.output_schema and tool.output_schema["properties"]
        assert all(given.get("description") for given in tool.input_schema["properties"].values()), tool.name
    assert "restless" in tools["read_run"].description and "calm" in tools["read_run"].description
    assert tools["read_run"].annotations.read_only_hint and not tools["export"].annotations.read_only_hint


def test_models_are_listed_and_described(agent: Agent) -> None:
    models = {model["name"]: model for model in agent.call("list_models")["models"]}
    assert models[MODEL]["classes"] == 10 and models[MODEL]["problem"] == ""
    model = agent.call("describe_model", model=MODEL)
    profile = model["profile"]
    assert profile["samples"] == 20 and isinstance(profile["is_good"], bool) and profile["threads"] == 1
    assert profile["smallest_latency_ms"] < profile["largest_latency_ms"]
    assert model["smallest"]["macs"] < model["largest"]["macs"] and model["measured_subnets"] > 0
    top1 = model["qualities"][0]
    assert top1["name"] == "top1" and top1["table_minimum"] < top1["table_maximum"]
    assert sum(group["count"] for group in model["dimensions"]) > 10
    assert agent.call("describe_model", model=MODEL, batch_size=7)["profile"] is None


def test_an_answer_keeps_its_promise(agent: Agent, found: dict[str, Any]) -> None:
    report = agent.call("read_run", run=found["run"])
    promise, answer = report["promise"], report["answer"]
    assert promise["promised_latency_ms"] == found["budget_ms"] == report["budget"]["latency_ms"]
    assert answer["measured_latency_ms"] == promise["measured_latency_ms"] <= found["budget_ms"]
    assert promise["is_kept"] and promise["is_restless"] == answer["is_restless"] == (
        "restless" in promise["verdict"]
    )
    assert report["state"] == "finished" and report["threads"] == 1 and report["trials"] >= 60
    assert answer["choices"] and report["ladder"] and not report["ladder"][0]["choices"]
    for front in (report["front"], found["front"]):
        latencies, qualities = ([point[name] for point in front] for name in ("latency_ms", "quality"))
        assert len(front) > 2 and latencies == sorted(latencies) and qualities == sorted(qualities)
    assert report["front_size"] >= len(report["front"])
    whole = agent.call("read_run", run=found["run"], front_points=1000)["front"]
    assert (
        len(whole) == report["front_size"]
        and [point for point in whole if point in report["front"]] == report["front"]
    )
    assert any(point["is_latency_measured"] and point["keeps_budget"] for point in report["front"])
    assert found["run"] in found["message"]


def test_runs_and_jobs_are_listed(agent: Agent, found: dict[str, Any], runs_folder: Path) -> None:
    listed = agent.call("list_runs")
    assert Path(listed["folder"]) == runs_folder.resolve()
    run = next(run for run in listed["runs"] if run["name"] == found["run"])
    assert (
        run["kind"] == "search" and run["model"] == MODEL and run["measured_latency_ms"] <= found["budget_ms"]
    )
    assert found["job_id"] in [job["job_id"] for job in agent.call("list_jobs")["jobs"]]


def test_an_answer_is_compared_with_the_largest_subnet(agent: Agent, found: dict[str, Any]) -> None:
    names = [found["run"], "largest"]
    report = agent.call("compare", networks=names, model=MODEL)
    small, large = report["networks"]
    assert [small["name"], large["name"]] == names and small["macs"] < large["macs"]
    (small_ms,), (large_ms,) = (
        [each["median_ms"] for each in network["latencies"] if each["kind"] == "measured"]
        for network in (small, large)
    )
    assert small_ms > 0 and large_ms > 0
    assert report["differences"] and all(len(values) == 2 for values in report["differences"].values())


def test_an_export_runs_without_anyfit(agent: Agent, found: dict[str, Any]) -> None:
    import onnxruntime

    done = agent.call("export", run=found["run"], name="small", measured=False)
    assert {"model.onnx", "model.safetensors"} <= {file["name"] for file in done["files"]}
    assert done["parity"] and all(
        check["is_ok"] and check["error"] <= check["tolerance"] for check in done["parity"]
    )
    assert {each["kind"] for each in done["network"]["latencies"]} == {"predicted", "measured"}
    session = onnxruntime.InferenceSession(str(Path(done["folder"]) / "model.onnx"))
    (given,) = session.get_inputs()
    image = np.zeros([2, *given.shape[1:]], np.float32)
    assert np.asarray(session.run(None, {given.name: image})[0]).shape == (2, 10)
    assert "small" in [run["name"] for run in agent.call("list_runs")["runs"] if run["kind"] == "export"]
    assert (
        agent.error("export", run=found["run"], name="small") == "'small' already exists; choose another name"
    )


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("describe_model", {"model": "mbv3-cifar"}, "did you mean 'mbv3-cifar10'?"),
        ("describe_model", {"model": MODEL, "runtime": "abacus"}, "abacus"),
        ("start_search", {"model": "no-such-model", "latency_ms": 1}, "there is no model 'no-such-model'"),
        ("start_search", {"model": MODEL}, "no budget is given"),
        ("start_search", {"model": MODEL, "latency_ms": -1}, "latency_ms is -1, but input should be greater than 0"),
        ("start_search", {"model": MODEL, "statistic": "mean", "latency_ms": 1}, "'median', 'p90' or 'p99'"),
        ("start_search", {"latency_ms": 1}, "model: field required"),
        ("start_profile", {"model": "no-such-model"}, "there is no model 'no-such-model'"),
        ("follow_job", {"job_id": "20260101-000000-abcdef"}, "there is no job '20260101-000000-abcdef'"),
        ("follow_job", {"job_id": "../../etc"}, "there is no job '../../etc'"),
        ("cancel_job", {"job_id": "x"}, "there is no job 'x'; list_jobs names those there are"),
        ("read_run", {"run": "gone"}, "is no run folder"),
        ("read_run", {"run": "../secrets"}, "is no name of a folder here"),
        ("compare", {"networks": ["largest"]}, "at least 2 items"),
        ("compare", {"networks": ["largest", "nonsense"]}, "'nonsense'"),
        ("export", {"run": "nonsense", "name": "new"}, "'nonsense'"),
        ("export", {"run": "smallest", "name": "../out"}, "is no name of a folder here"),
        ("export", {"run": "smallest", "name": "new", "formats": ["gif"]}, "'onnx', 'pt2' or 'safetensors'"),
    ],
)  # fmt: skip
def test_wrong_input_costs_a_sentence(agent: Agent, tool: str, arguments: dict[str, Any], words: str) -> None:
    said = agent.error(tool, **arguments)
    assert words in said and "\n" not in said and "Traceback" not in said and "Error executing" not in said, (
        said
    )


def test_a_budget_that_nothing_keeps_is_told_with_what_the_smallest_needs(agent: Agent) -> None:
    job = agent.followed(agent.call("start_search", model=MODEL, latency_ms=0.0001, trials=10))
    assert job["state"] == "infeasible" and job["message"].startswith("no subnet keeps latency ≤ ")
    assert job["front"] == [] and "is no run folder" in agent.error("read_run", run=job["run"])


def test_a_search_survives_its_client_and_is_cancelled_by_another(agent: Agent, runs_folder: Path) -> None:
    with connected(runs_folder) as other:
        job = other.call("start_search", model=MODEL, macs=9_000_000, trials=200_000)
    job = agent.followed(job, until=lambda job: bool(job["front"]) and job["stage"] == "searching")
    assert job["is_live"] and job["state"] == "running" and job["stage_total"] == 200_000
    busy = agent.error("compare", networks=["smallest", "largest"], model=MODEL)
    assert job["job_id"] in busy and "wait until it has ended, or cancel it" in busy
    known = agent.call("compare", networks=["smallest", "largest"], model=MODEL, measured=False)
    assert known["networks"][0]["params"] < known["networks"][1]["params"]
    assert agent.call("cancel_job", job_id=job["job_id"])["is_stopping"]
    job = agent.followed(job)
    assert job["state"] == "cancelled"
    report = agent.call("read_run", run=job["run"])
    assert report["state"] == "interrupted" and report["promise"] is None
    assert json.loads((runs_folder / job["run"] / "run.json").read_text())["state"] == "interrupted"
