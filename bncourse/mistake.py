"""What the person at the command line has to put right."""

import click


class Mistake(click.ClickException):
    """The course, or the command, is not as it must be; the message is the sentence to show.

    It ends a command with status 2. Whatever may pass by itself is not one.
    """

    exit_code = 2
