"""Commands of other packages stand beside ours, and a broken one breaks nothing."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest

from nas.cli import group as _group


class Entry:
    def __init__(self, name: str, command: click.Command | None) -> None:
        self.name, self.command = name, command

    def load(self) -> click.Command:
        if self.command is None:
            raise ImportError("an extra is missing")
        return self.command


@click.command(short_help="Say moo.")
def moo() -> None:
    click.echo("moo")


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("moo", moo), Entry("broken", None)]
    monkeypatch.setattr(_group, "entry_points", lambda group: entries)
    _group._plugins.cache_clear()
    monkeypatch.setattr(_group.cli, "_plugins", _group._plugins.__wrapped__)


@pytest.mark.usefixtures("plugins")
def test_a_package_adds_a_command(nas_run: Callable) -> None:
    assert nas_run("moo").stdout == "moo\n"
    shown = nas_run("--help").stdout
    assert "Say moo." in shown and "broken" not in shown
    refused = nas_run("mooo")
    assert refused.code == 2 and "did you mean 'moo'" in refused.stderr
    assert nas_run("broken").code == 2


def test_the_generator_commands_are_there(nas_run: Callable) -> None:
    shown = nas_run("gan", "--help")
    assert shown.code == 0 and "preview" in shown.stdout
    assert "did you mean 'sample'" in nas_run("gan", "sampel").stderr
