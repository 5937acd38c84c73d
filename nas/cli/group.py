"""The command group: a static table, so that help and completion import no command.

Other packages add commands under the entry point group "anyfit.commands"; what those name imports click and no more.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from nas import __version__

# name -> (module that defines `command`, short help); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "search": ("nas.cli.searching.search", "Find the best subnet within a budget, measured here."),
    "export": ("nas.cli.searching.export", "Write a subnet as a stand-alone model, checked."),
    "prune": ("nas.cli.models.prune", "Choose a smaller subnet by what costs least, without a search."),
    "quantize": ("nas.cli.models.quantize", "Add an int8 file to an exported model, if it is worth it."),
    "profile": ("nas.cli.searching.profile", "Measure this machine and fit the latency predictor."),
    "eval": ("nas.cli.models.eval", "Measure a model's accuracy on given data."),
    "compare": ("nas.cli.searching.compare", "Put two runs, subnets or models side by side."),
    "show": ("nas.cli.models.show", "Describe a supernet, a subnet, a run or a model."),
    "list": ("nas.cli.models.list", "List the shipped and cached models."),
    "train": ("nas.cli.models.train", "Train a supernet."),
    "measure": ("nas.cli.models.measure", "Measure many subnets' accuracy into a table."),
    "calibrate": ("nas.cli.models.calibrate", "Distil calibration images, or compare them."),
    "adopt": ("nas.cli.models.adopt", "Make a supernet of any network: timm, torchvision, your own."),
    "import": ("nas.cli.models.import_", "Make a model folder of a published checkpoint."),
    "doctor": ("nas.cli.environment.doctor", "Check versions, devices, runtimes and the installation."),
    "mcp": ("nas.cli.environment.mcp", "Serve an agent: search, follow, compare, export (MCP)."),
    "completion": ("nas.cli.environment.completion", "Print the completion script of a shell."),
}


GROUP = "anyfit.commands"


@cache
def _plugins() -> dict[str, click.Command]:
    """Return the commands of other installed packages by name; one that cannot be imported is left out."""
    found = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except ImportError:
            continue
    return found


def nearest(word: str, known: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the known word most like `word`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


class LazyGroup(click.Group):
    """A click group that knows its commands' names and short help, and imports one when it is invoked.

    `table` maps a name to the module that defines `command` and its short help; `plugins` finds more commands, when a
    name is not in the table or all are listed.
    """

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, tuple[str, str]],
        plugins: Callable[[], Mapping[str, click.Command]] = dict,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._plugins = plugins

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._table, *self._plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._table:
            return import_module(self._table[cmd_name][0]).command
        return self._plugins().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._table and not name.startswith("-") and name not in self._plugins():
            known = self.list_commands(ctx)
            raise click.UsageError(f"there is no command '{name}'{nearest(name, known)}", ctx)
        return super().resolve_command(ctx, args)

    def _described(self) -> list[tuple[str, str]]:
        others = [(name, command.get_short_help_str(100)) for name, command in self._plugins().items()]
        return [*((name, text) for name, (_, text) in self._table.items()), *others]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._described())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [(name, text) for name, text in self._described() if name.startswith(incomplete)]
        items = [CompletionItem(name, help=text) for name, text in found]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    plugins=_plugins,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="nas", message="%(prog)s %(version)s (anyfit)")
def cli() -> None:
    """Take from a network trained once the best smaller one for this machine and this time budget.

    \b
      nas search --latency 20ms              the best subnet under 20 ms, measured here
      nas export runs/<run> --format onnx    a stand-alone model of it, checked
    """
