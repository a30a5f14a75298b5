"""``bncourse progress``: how far a notebook is."""

import click

from bncourse.commands import Command
from bncourse.notebook import main


@click.command(cls=Command)
@click.argument("notebooks", nargs=-1, required=True, metavar="NOTEBOOK...")
@click.pass_context
def progress(ctx, notebooks):
    """Print what is done of a problem set, and what is still open."""
    ctx.exit(main(notebooks))
