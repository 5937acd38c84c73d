"""`nas compare`: put networks side by side."""

from __future__ import annotations

import click

from nas import api
from nas.cli.options import batch_size_option, json_option, named_model_option, runtime_option, threads_option
from nas.cli.output import emit_result, shown_progress


@click.command()
@click.argument("what", metavar="A B ...", nargs=-1, required=True)
@named_model_option("The supernet, if a subnet does not name it.")
@click.option("--no-measure", is_flag=True, help="Compare what is known; measure no latency now.")
@runtime_option
@threads_option
@batch_size_option
@json_option
def command(
    what: tuple[str, ...],
    model: str | None,
    no_measure: bool,
    runtime: str | None,
    threads: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Compare two or more subnets, runs, exported models or supernets (their largest subnet).

    \b
      nas compare smallest largest
      nas compare runs/<run> runs/<other run>-export

    Their latencies are measured together, interleaved, so that the comparison holds on a noisy machine.
    """
    with shown_progress(announces=False) as progress:
        found = api.compare(
            *what, model=model, runtime=runtime, threads=threads, batch_size=batch_size, measured=not no_measure,
            progress=progress,
        )  # fmt: skip
    emit_result(found, as_json)
