"""The command line: one module for what belongs together, loaded when its verb is called.

It ends with one sentence whatever a CourseError says, and with its exit status.
"""

import errno

import click

from bncourse.errors import CourseError, Infra
from bncourse.verbs import NEEDS, STUDY, VERBS, command, unknown


class Command(click.Command):
    """A verb; what the course has to put right is shown as a sentence."""

    def invoke(self, ctx):
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except CourseError as error:
            raise _told(error) from None
        except Exception as error:
            reason = _of_the_machine(error) or _of_the_config(error)
            if reason is None:
                raise
            raise _told(reason) from None


# No room, no rights, a disk that fails: no traceback says more than the reason.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def _told(error):
    told = click.ClickException(str(error))
    told.exit_code = error.exit_code
    return told


def _of_the_machine(error):
    """Return the CourseError on a machine or a database that refuses, or None."""
    if isinstance(error, OSError):
        return Infra(f"{error}. Put it right, and repeat it.") if error.errno in _MACHINE else None
    if not type(error).__module__.startswith(("sqlalchemy.", "nbgrader.")):
        return None
    from bncourse.grading.nbgrader.gradebook import unusable

    found = unusable(error)
    return found if isinstance(found, CourseError) else None


def _of_the_config(error):
    """Return the CourseError on a setting that nbgrader does not take, or None."""
    if isinstance(error, ModuleNotFoundError):
        return CourseError(f"What a setting or a verb needs must be installed. {error}")
    # By its name: importing traitlets would cost each verb its time.
    if f"{type(error).__module__}.{type(error).__name__}" != "traitlets.traitlets.TraitError":
        return None
    return CourseError(f"A setting of nbgrader_config.py must be one that it takes. {error}")


class _Verbs(click.Group):
    def list_commands(self, ctx):
        return list(VERBS)

    def get_command(self, ctx, name):
        if name not in VERBS:
            return None
        try:
            return command(name)
        except ModuleNotFoundError as missing:
            raise click.ClickException(f"{missing.name} is not installed here. {NEEDS}") from None

    def resolve_command(self, ctx, args):
        if args[0] not in VERBS:
            ctx.fail(unknown(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        # From the tables, since the modules take a while to import. Those of students are
        # started before this group is: see bncourse.__main__.
        for title, table in (("For students", STUDY), ("Commands", VERBS)):
            with formatter.section(title):
                formatter.write_dl([(name, verb.help) for name, verb in table.items()])


verbs = click.version_option(package_name="bncourse")(
    _Verbs(name="bncourse", help="Build and grade the batch-norm course.")
)
