"""`nas show`: describe a supernet, a subnet, a run or an exported model."""

from __future__ import annotations

import click

from nas import api
from nas.api.targets import DEFAULT_MODEL
from nas.cli.options import json_option, named_model_option
from nas.cli.output import emit_json, result_console


@click.command()
@click.argument("what", metavar="MODEL|SUBNET|RUN|ARTIFACT", default=DEFAULT_MODEL)
@named_model_option("The supernet of a subnet, if it is not the default.")
@json_option
def command(what: str, model: str | None, as_json: bool) -> None:
    """Describe a supernet and its search space, a run, or the architecture and figures of one network.

    \b
      nas show                        the shipped supernet
      nas show smallest               its smallest subnet, part by part
      nas show runs/<run>             what a search was asked and what it found
    """
    found = api.describe(what, model)
    if as_json:
        emit_json(found)
        return
    console = result_console()
    console.print(f"[bold]{found.name}[/]: {found.words}", soft_wrap=True)
    for block in found.blocks:
        if isinstance(block, tuple):
            console.print(f"{block[0]:10} {block[1]}", soft_wrap=True, markup=False)
        elif isinstance(block, str):
            console.print(block, soft_wrap=True, markup=False)
        else:
            console.print(block.to_rich())
