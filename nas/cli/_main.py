"""From an error to one sentence and an exit code: 1 failed, 2 wrong usage, 3 infeasible, 130 interrupted."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence

import click

from nas._failures import failure_sentence
from nas.cli.group import cli
from nas.errors import NasError

_INTERRUPTED = 130
_MANY_OBJECTS = 100_000  # made before garbage is looked for


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and leave through `SystemExit` with the code of what happened.

    Large libraries make a million objects that live as long as the process: looking for garbage among them took a
    tenth of the time to import torch and optuna.
    """
    gc.set_threshold(_MANY_OBJECTS, 50, 50)
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; what is no user's mistake leaves as an exception.

    With `ANYFIT_DEBUG=1` in the environment the traceback of a user's mistake is printed too.
    """
    try:
        result = cli.main(args, prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
        return result if type(result) is int else 0
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes a file that ends too early for a Ctrl-D
            raise error.__cause__ from None
        return _report("nas: interrupted", _INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _report(f"nas: error: {_usage_sentence(error)}", error.exit_code)
    except NasError as error:
        return _report(f"nas: error: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader went away (`nas list | head`): nothing to say, and nothing more to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        sentence = failure_sentence(error)
        if sentence is None:
            raise
        return _report(f"nas: error: {sentence}", 1)


def _report(text: str, code: int) -> int:
    if os.environ.get("ANYFIT_DEBUG"):
        traceback.print_exc()
    click.echo(" ".join(text.split()), err=True)
    return code


def _usage_sentence(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    # What click calls a number with limits.
    text = text.replace("a valid integer range", "a whole number").replace("a valid float range", "a number")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is None:
        return text
    more = f"see '{ctx.command_path} --help'"
    if isinstance(error, click.MissingParameter) and (example := _example(ctx)):
        more = f"for example: {example}; {more}"
    return f"{text} ({more})"


def _example(ctx: click.Context) -> str | None:
    """Return the first example of a command's help, without what it says about it."""
    lines = (line.strip() for line in (ctx.command.help or "").splitlines())
    return next((line.partition("   ")[0] for line in lines if line.startswith(f"{ctx.command_path} ")), None)
