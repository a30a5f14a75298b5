"""One text says how to get the exercises, with lines that work."""

import json
import re
import subprocess
import sys

import get_the_exercises as box
import pytest

from bncourse.registry import ALL_SETS, PROBLEM_SETS

each_set = pytest.mark.parametrize("each", ALL_SETS, ids=lambda each: each.name)


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setattr("bncourse.addresses.REPOSITORY", "https://github.com/owner/course")
    monkeypatch.setattr("bncourse.addresses.SITE", "https://example.org/course")


def test_the_readme_says_what_the_website_says(root):
    assert box.as_markdown() in (root / "README.md").read_text(), (
        "run: python _ext/get_the_exercises.py"
    )


@pytest.mark.parametrize("page", ["index", "chapters/guide_students"])
def test_a_page_that_asks_for_the_box_gets_it(root, page):
    text = box.fill(page, (root / f"{page}.md").read_text())
    assert box.as_myst() in text
    assert "{get-the-exercises}" not in text


@each_set
def test_the_page_of_a_set_has_its_own_lines(root, each):
    page = f"exercises/{each.name}/{each.notebook}"
    notebook = json.loads(box.fill(page, (root / f"{page}.ipynb").read_text()))
    text = "".join(notebook["cells"][0]["source"])
    assert f"bncourse new {each.name}" in text
    assert f"jupyter lab {each.notebook}.ipynb" in text
    assert ("torch" in text.split("jupyter lab")[0]) is bool(each.needs)


@each_set
def test_without_an_address_every_line_works_from_the_folder_or_the_wheel(each):
    text = box.as_markdown(each)
    assert "github" not in text
    assert "put its name" in text
    assert all(f"**{tab}**" in text for tab in ("Linux, macOS", "Windows (PowerShell)", "Colab"))


@each_set
def test_with_an_address_no_line_needs_the_folder(each, published):
    text = box.as_markdown(each)
    archive = '"bncourse @ https://github.com/owner/course/archive/refs/heads/main.zip"'
    assert text.count(f"pip install {archive}") == 4
    assert f"/github/owner/course/blob/main/exercises/{each.name}/{each.notebook}.ipynb" in text
    assert "The dot" not in text


def test_on_the_website_a_chapter_is_a_page_of_it(published):
    page = f"exercises/{PROBLEM_SETS[0].name}/{PROBLEM_SETS[0].notebook}"
    link = "[x](https://example.org/course/chapters/forward.html)"
    cells = [{"cell_type": "markdown", "source": ["# t"]}, {"source": [link]}]
    notebook = json.loads(box.fill(page, json.dumps({"cells": cells})))
    assert notebook["cells"][1]["source"] == ["[x](../../chapters/forward.md)"]


def test_only_lines_that_are_told_were_measured():
    told = {
        tuple(re.search(r"pip install \. ?(.*)", box.as_markdown(each))[1].split())
        for each in PROBLEM_SETS
    }
    rows = json.loads(box.MEASURED.read_text())
    assert rows
    # The first row does without JupyterLab.
    assert {tuple(row["packages"]) for row in rows} <= told | {()}
    assert all(0 < row["download"] < row["disk"] for row in rows)


def test_the_lines_name_verbs_that_exist(tmp_path):
    (line,) = re.findall(r"^\.venv/bin/bncourse (.*)$", box.as_markdown(), re.M)
    command = [sys.executable, "-m", "bncourse", *line.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "forward.ipynb").exists()
