"""The command line: each verb tells what it does, each option what it is for, with an example."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from bncourse.commands import verbs
from bncourse.verbs import STUDY, VERBS, command, study


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_told_with_an_example(name):
    verb = command(name)
    assert verb.name == name
    text = CliRunner().invoke(verbs, [name, "--help"]).output
    assert verb.help
    (example,) = re.findall(r"^ *Example: (bncourse .*)$", verb.epilog, re.MULTILINE)
    assert " ".join(example.split()) in " ".join(text.split())
    for each in verb.params:
        assert isinstance(each, click.Argument) or each.help, f"{name} {each.opts[0]} is not told"


@pytest.mark.parametrize("name", STUDY)
def test_a_verb_of_students_is_told_with_an_example(name, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        study(name)(["--help"])
    text = capsys.readouterr().out
    assert f"Example: bncourse {name} " in text
    # Each argument and option has its words behind it, or on the next line.
    assert not re.findall(r"^  \S+\n(?!    )", text, re.MULTILINE)


@pytest.mark.parametrize("name", VERBS)
def test_the_example_is_one_that_the_verb_understands(name):
    _, said, *arguments = shlex.split(command(name).epilog.removeprefix("Example: "))
    assert said == name
    # Whether the files are there is another question.
    context = click.Context(command(name))
    options, positional, _ = command(name).make_parser(context).parse_args(arguments)
    assert {option for option in options if options[option] is not None}.issuperset(
        {each.name for each in command(name).params if set(each.opts) & {*arguments}}
    )
    assert not positional


@pytest.mark.parametrize(("typed", "meant"), [("clas", "class"), ("nwe", "new")])
def test_a_mistyped_verb_is_told_what_it_may_mean(typed, meant):
    done = CliRunner().invoke(verbs, [typed])
    assert done.exit_code == 2
    assert f'There is no verb called "{typed}". Did you mean {meant}?' in done.output
