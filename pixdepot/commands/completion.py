"""`pixdepot completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the shell completion script.

    To enable it in bash: eval "$(pixdepot completion bash)"
    """
    completing = get_completion_class(shell)
    assert completing  # noqa: S101 - these are click's own
    click.echo(completing(context.find_root().command, {}, "pixdepot", "_PIXDEPOT_COMPLETE").source())
