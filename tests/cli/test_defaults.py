"""What a command does unless told otherwise is what the library does."""

from __future__ import annotations

from pathlib import Path

import click

from nas.cli.searching.profile import command
from nas.latency.profiles.profile import SAMPLES


def test_a_profile_is_of_as_many_subnets_as_a_search_measures(nas_run) -> None:
    (samples,) = (parameter for parameter in command.params if parameter.name == "samples")
    assert samples.get_default(click.Context(command)) == SAMPLES
    assert f"Subnets to measure.  [default: ({SAMPLES});" in " ".join(
        nas_run("profile", "--help").stdout.split("\n")
    )
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "search.md").read_text(encoding="utf-8")
    assert f"`nas profile` measures {SAMPLES} extracted subnets" in page
