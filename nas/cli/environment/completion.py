"""`nas completion bash|zsh|fish`: the script by which a shell completes commands, options and model names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from nas.cli.group import cli

_INSTALL = {
    "bash": 'eval "$(nas completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$(nas completion zsh)"       in ~/.zshrc',
    "fish": "nas completion fish | source        in ~/.config/fish/config.fish",
}
_EPILOG = "\b\nSwitch it on with:\n" + "\n".join(f"  {line}" for line in _INSTALL.values())


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice([*_INSTALL]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
      nas completion bash
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(cli, {}, "nas", "_NAS_COMPLETE").source())
