"""Every way in which a command can end has its exit code, and a user's mistake costs one sentence."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from types import ModuleType

import click
import pytest

from nas.cli import group as _group
from nas.cli import main
from nas.errors import InfeasibleError, NasError, UsageError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` that raises what the test puts in the list."""
    errors: list[BaseException] = []

    @click.command()
    @click.option("--number", type=int)
    def command(number: int | None) -> None:
        raise errors[0]

    module = ModuleType("failing_command")
    module.__dict__["command"] = command
    monkeypatch.setitem(sys.modules, "failing_command", module)
    monkeypatch.setitem(_group.COMMANDS, "fail", ("failing_command", "Fail."))
    return errors


@pytest.mark.parametrize(
    ("error", "code"),
    [(NasError("it broke"), 1), (UsageError("it broke"), 2), (InfeasibleError("it\n broke"), 3)],
)
def test_own_errors_are_one_line_and_their_code(failing, nas_run, error: NasError, code: int) -> None:
    failing.append(error)
    assert nas_run("fail") == (code, "", "nas: error: it broke\n")


def test_wrong_option_is_one_line(failing, nas_run) -> None:
    outcome = nas_run("fail", "--number", "many")
    assert outcome == (
        2,
        "",
        "nas: error: Invalid value for '--number': 'many' is not a valid integer (see 'nas fail --help')\n",
    )


def test_misspelt_option_names_the_nearest(failing, nas_run) -> None:
    outcome = nas_run("fail", "--nunber", "1")
    assert outcome.code == 2
    assert "--number" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("train",),
            "Missing option '--recipe' (for example: nas train --recipe digits --data digits --output runs/digits; "
            "see 'nas train --help')",
        ),
        (
            ("export",),
            "Missing argument 'RUN|SUBNET' (for example: nas export runs/<run> --format onnx; see 'nas export --help')",
        ),
        (
            ("app", "--port", "abc"),
            "Invalid value for '--port': 'abc' is not a whole number (see 'nas app --help')",
        ),
    ],
)
def test_what_is_missing_or_wrong_comes_with_an_example(
    nas_run, words: tuple[str, ...], sentence: str
) -> None:
    assert nas_run(*words) == (2, "", f"nas: error: {sentence}\n")


def test_every_command_that_needs_something_has_an_example(nas_run) -> None:
    cli = _group.cli
    for name in _group.COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        required = any(parameter.required for parameter in command.params)
        assert not required or "for example: nas " in nas_run(name).stderr, name


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupt(failing, nas_run, error: BaseException) -> None:
    failing.append(error)
    outcome = nas_run("fail")
    assert outcome.code == 130
    assert outcome.stdout == ""
    assert outcome.stderr.strip() == "nas: interrupted"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(failing, nas_run, code: int) -> None:
    failing.append(OSError(code, os.strerror(code), "run.json"))
    outcome = nas_run("fail")
    assert outcome.code == 1
    assert outcome.stderr == (
        "nas: error: the disk is full while writing run.json; free some space and run the command again\n"
    )


def test_full_disk_said_by_a_library(failing, nas_run) -> None:
    failing.append(RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT]"))
    assert nas_run("fail") == (
        1,
        "",
        "nas: error: the disk is full; free some space and run the command again\n",
    )


def test_a_package_that_an_extra_brings_is_named_with_it(failing, nas_run) -> None:
    failing.append(ModuleNotFoundError("No module named 'diffusers'", name="diffusers"))
    done = nas_run("fail")
    assert done.code == 1 and done.stderr.startswith("nas: error: diffusers is not installed; ")
    assert done.stderr.endswith("pip install 'anyfit[diffusion]'\n")


def test_refused_file(failing, nas_run) -> None:
    failing.append(PermissionError(errno.EACCES, "Permission denied", "model.safetensors"))
    assert nas_run("fail") == (1, "", "nas: error: model.safetensors: Permission denied\n")


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), EOFError("a file ended"), ConnectionResetError("gone")]
)
def test_a_defect_keeps_its_traceback(failing, nas_run, error: Exception) -> None:
    failing.append(error)
    with pytest.raises(type(error), match=str(error)):
        nas_run("fail")


def test_debug_adds_the_traceback(failing, nas_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYFIT_DEBUG", "1")
    failing.append(NasError("it broke"))
    outcome = nas_run("fail")
    assert "Traceback" in outcome.stderr
    assert outcome.stderr.endswith("nas: error: it broke\n")


def test_main_leaves_with_the_code(failing, capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(InfeasibleError("nothing fits"))
    with pytest.raises(SystemExit) as left:
        main(["fail"])
    assert left.value.code == 3
    assert capsys.readouterr().err == "nas: error: nothing fits\n"


def _command_in_a_process(body: str) -> str:
    return textwrap.dedent(
        """
        import sys, types, click
        from nas.cli import main, group as _group
        module = types.ModuleType("a_command")
        @click.command()
        def command():
        {body}
        module.command = command
        sys.modules["a_command"] = module
        _group.COMMANDS["a"] = ("a_command", "A.")
        main(["a"])
        """
    ).format(body=textwrap.indent(textwrap.dedent(body), "    "))


def test_closed_pipe_is_quiet() -> None:
    script = _command_in_a_process("for line in range(100_000): click.echo(line)")
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
    process.stderr.close()


def test_pipe_closed_before_the_last_flush_is_quiet() -> None:
    script = _command_in_a_process("sys.stdout.write('x'); os.close(reader)")
    script = f"import os\nreader, writer = os.pipe()\nos.dup2(writer, 1)\n{script}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=buffered, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_in_a_process() -> None:
    script = _command_in_a_process("click.echo('ready'); sys.stdout.flush(); import time; time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.strip() == "nas: interrupted"
