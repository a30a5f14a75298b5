"""The self-check while the grader checks: it lets every call pass."""

import sys

import bncourse


def silence_check():
    """Let ``check(...)`` in a student's cell pass by: the grader checks, with its own inputs."""

    def check(obj, name=None, *, seed=None, device=None):
        print("Your work is being graded with other inputs: see the grade cell.")

    for module in (bncourse, sys.modules["bncourse.check"]):
        module.check = check
