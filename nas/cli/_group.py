"""The command group: a static table, so that help and completion import no command."""

from __future__ import annotations

import difflib
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from nas import __version__

# name -> (module that defines `command`, short help); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "search": ("nas.cli.search", "Find the best subnet within a budget, measured here."),
    "export": ("nas.cli.export", "Write a subnet as a stand-alone model, checked."),
    "profile": ("nas.cli.profile", "Measure this machine and fit the latency predictor."),
    "eval": ("nas.cli.eval", "Measure a model's accuracy on given data."),
    "compare": ("nas.cli.compare", "Put two runs, subnets or models side by side."),
    "show": ("nas.cli.show", "Describe a supernet, a subnet, a run or a model."),
    "list": ("nas.cli.list", "List the shipped and cached models."),
    "train": ("nas.cli.train", "Train a supernet."),
    "measure": ("nas.cli.measure", "Measure many subnets' accuracy into a table."),
    "calibrate": ("nas.cli.calibrate", "Distil calibration images, or compare them."),
    "import": ("nas.cli.import_", "Make a model folder of a published checkpoint."),
    "doctor": ("nas.cli.doctor", "Check versions, devices, runtimes and the installation."),
    "completion": ("nas.cli.completion", "Print the completion script of a shell."),
}


def nearest(word: str, known: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the known word most like `word`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


class LazyGroup(click.Group):
    """A click group that knows its commands' names and short help, and imports one when it is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(COMMANDS[cmd_name][0]).command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"there is no command '{name}'{nearest(name, [*COMMANDS])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="nas", message="%(prog)s %(version)s (anyfit)")
def cli() -> None:
    """Take from a network trained once the best smaller one for this machine and this time budget.

    \b
      nas search --latency 20ms              the best subnet under 20 ms, measured here
      nas export runs/<run> --format onnx    a stand-alone model of it, checked
    """
