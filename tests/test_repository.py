"""The repository as a newcomer finds it."""

import importlib.util
import re
import subprocess
import tomllib

import pytest
import yaml

from bncourse import addresses, check


def tracked(root):
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [root / line for line in done.stdout.splitlines() if (root / line).exists()]


def test_direct_dependencies_are_pinned_exactly(root):
    lines = (root / "requirements.txt").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    assert named[-1] == "-e ."
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in named[:-1])
    for package in ("jupyter-book", "numpy", "torch", "matplotlib", "nbgrader", "keras"):
        assert any(line.startswith(f"{package}==") for line in named)


def test_no_command_waits_for_a_grammar_that_nobody_asks_for():
    # Newer releases of jsonschema bring this package along, whose import takes two seconds.
    assert importlib.util.find_spec("rfc3987_syntax") is None


def test_the_style_of_the_code(root):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, "."], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_imports_go_down(root):
    done = subprocess.run(["lint-imports", "--no-cache"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_readme_names_the_verbs_that_exist(root):
    verbs = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "chapters/guide_instructors.md"):
        text = (root / name).read_text()
        used = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE))
        assert {verb for pair in used for verb in pair if verb} <= verbs


def test_the_readme_shows_what_a_student_reads(root):
    def batch_statistics(x):
        return x.mean(axis=0), x.var(axis=0, ddof=1)

    with pytest.raises(AssertionError) as failure:
        check(batch_statistics)
    assert f"```\n{failure.value}\n```" in (root / "README.md").read_text()


def test_the_links_of_the_top_level_lead_somewhere(root):
    for path in root.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_continuous_integration_runs_what_the_readme_says(root):
    assert "make test" in (root / "README.md").read_text()
    assert (root / ".ci" / "run").read_text().rstrip().endswith("make test")
    assert "run: make test" in (root / ".github" / "workflows" / "course.yml").read_text()


def test_no_file_names_a_path_of_one_machine(root):
    pattern = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w")
    for path in tracked(root):
        if path.suffix in {".py", ".md", ".yml", ".toml", ".cff", ".ipynb", ""}:
            assert not pattern.search(path.read_text()), path


def fenced(text):
    """Return the texts of the fenced blocks of a Markdown text that are neither code nor MyST."""
    blocks = re.findall(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL)
    return [body for _, language, body in blocks if language in ("", "text")]


DRAWING = re.compile(
    r"[\u2190-\u21ff\u2500-\u259f\u25a0-\u25ff]|--+>|<--+|[+|]--|--[+|]|^\s*\|\s*$", re.M
)


def test_no_fenced_text_is_a_drawing(root):
    """A picture is drawn, a table is a table: letters in a row are read on no phone, nor aloud."""
    pages = [root / "index.md", *root.glob("chapters/*.md"), *root.glob("solutions/*/*.md")]
    blocks = [(page, body) for page in pages for body in fenced(page.read_text())]
    assert blocks
    for page, body in blocks:
        assert not DRAWING.search(body), f"{page}:\n{body}"


@pytest.mark.parametrize("drawing", ["a --> b", "  │", "+---+", "x ──► y", "  |\n  v", "● f(x)"])
def test_a_drawing_is_known_as_one(drawing):
    assert DRAWING.search(drawing)


def test_the_package_states_what_a_notebook_needs(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert any(line.startswith("numpy") for line in project["dependencies"])
    assert project["requires-python"] == ">=3.11"


def test_the_citation_is_of_this_version_and_complete(root):
    """Keys as in version 1.2.0 of the format; the rest waits for an address and a release."""
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    required = {"cff-version", "message", "title", "authors"}
    optional = {"abstract", "type", "version", "keywords", "license", "repository-code", "url"}
    assert required <= {*cited} <= required | optional | {"date-released", "doi"}
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert cited["version"] == project["version"]
    assert project["license"] in cited["license"]
    assert cited.get("repository-code", "") == addresses.REPOSITORY
    assert cited["title"] in (root / "README.md").read_text()
    assert f"\n## {cited['version']}\n" in (root / "CHANGELOG.md").read_text()


def test_each_form_of_an_issue_asks_for_something(root):
    forms = [*(root / ".github" / "ISSUE_TEMPLATE").glob("*.yml")]
    forms = [yaml.safe_load(path.read_text()) for path in forms if path.name != "config.yml"]
    support = (root / "SUPPORT.md").read_text()
    for form in forms:
        assert {"name", "description", "body"} <= {*form}
        ids = [each["id"] for each in form["body"] if each["type"] != "markdown"]
        assert ids
        assert len(ids) == len({*ids})
        assert f"*{form['name']}*" in support
