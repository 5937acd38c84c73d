"""Shell completion: the scripts, and what they are answered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from nas.cli import cli, options


def _complete(*args: str, command: click.Command = cli) -> list[str]:
    *typed, incomplete = args
    return [
        item.value
        for item in ShellComplete(command, {}, "nas", "_NAS_COMPLETE").get_completions(typed, incomplete)
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_each_shell(nas_run, shell: str) -> None:
    outcome = nas_run("completion", shell)
    assert outcome.code == 0
    assert "_NAS_COMPLETE" in outcome.stdout
    assert f"{shell}_complete" in outcome.stdout


def test_unknown_shell(nas_run) -> None:
    outcome = nas_run("completion", "tcsh")
    assert outcome.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in outcome.stderr


def test_bash_accepts_the_script(nas_run) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=nas_run("completion", "bash").stdout, text=True, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_are_completed() -> None:
    assert _complete("s") == ["search", "show"]
    assert "--version" in _complete("--v")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("nas comp", "plain,compare\nplain,completion\n"),
        ("nas search --model mbv3-c", "plain,mbv3-cifar10\nfile,mbv3-c\n"),
        ("nas profile --runtime openv", "plain,openvino\n"),
        ("nas train --recipe cifar10-g", "plain,cifar10-gpu\n"),
    ],
)
def test_the_shells_question_is_answered_without_torch(words: str, answer: str) -> None:
    script = (
        "import sys, nas.cli\ntry: nas.cli.main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    question = {
        "_NAS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **question}, text=True, capture_output=True
    )
    assert (done.stdout, done.stderr) == (answer, "False\n")


@click.command()
@options.model_option
@options.runtime_option
@options.threads_option
@options.batch_size_option
@options.seed_option
@options.json_option
def _example(**values: object) -> None:
    click.echo(values)


def test_values_of_shared_options_are_completed() -> None:
    assert _complete("--runtime", "tor", command=_example) == ["torch", "torch-compile"]


def test_models_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [("mbv3-cifar10", Path("a"), "shipped"), ("mine", Path("b"), "cached")]
    monkeypatch.setattr("nas.models.available_models", lambda: models)
    assert _complete("--model", "mbv", command=_example) == ["mbv3-cifar10", "mbv"]


def test_defaults_of_shared_options(capsys: pytest.CaptureFixture[str]) -> None:
    from nas.latency.workload import default_threads

    _example.main([], standalone_mode=False)
    values = {
        "model": "mbv3-cifar10",
        "runtime": None,
        "threads": default_threads(),
        "batch_size": 1,
        "seed": 0,
        "as_json": False,
    }
    assert capsys.readouterr().out == f"{values}\n"


@pytest.mark.parametrize("args", [["--threads", "0"], ["--batch-size", "-1"], ["--seed", "-1"]])
def test_shared_options_refuse_what_makes_no_sense(args: list[str]) -> None:
    with pytest.raises(click.BadParameter, match="is not in the range"):
        _example.main(args, standalone_mode=False)
