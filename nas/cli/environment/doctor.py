"""`nas doctor`: is this installation sound, and what can this machine run?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from nas import api
from nas.cli.options import json_option
from nas.cli.output import emit_json, log, result_console


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check versions, devices, runtimes and the installation.

    Exit code 1 when something is broken; what is optional may be absent.
    """
    report = api.diagnose()
    problems = [check for checks in report.values() for check in checks if check.problem]
    if as_json:
        sections = {name: [check.to_dict() for check in checks] for name, checks in report.items()}
        emit_json({"ok": not problems, "problems": [check.problem for check in problems], **sections})
    else:
        _show(report)
        for check in problems:
            log(f"{check.problem}; {check.hint}" if check.hint else check.problem)
        log("something is broken" if problems else "all is well")
    ctx.exit(1 if problems else 0)


def _show(report: Mapping[str, Sequence[api.Check]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "what", "found", "remark"):
        table.add_column(heading, overflow="fold")
    for section, checks in report.items():
        for index, check in enumerate(checks):
            remark = Text("broken", style="red") if check.problem else Text(check.hint, style="dim")
            table.add_row(Text(section if index == 0 else "", style="bold"), check.name, check.value, remark)
        table.add_section()
    result_console().print(table)
