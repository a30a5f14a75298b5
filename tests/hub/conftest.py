"""A hub for the tests of this folder, and the people who are at it."""

import importlib.util
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from conftest import ROOT

START = ROOT / "deploy" / "jupyterhub" / "start"
START_SECONDS = 180


@dataclass
class Hub:
    """A hub that runs: its address, ``{account: password}``, and the folder of what it keeps."""

    url: str
    passwords: dict
    folder: Path


def load_start():
    """Return the script that starts a hub, as a module."""
    spec = importlib.util.spec_from_loader("start", SourceFileLoader("start", str(START)))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with its accounts; nothing that it started outlives it."""
    if reason := load_start().why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("hub")
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, START, "--folder", folder, "--port", "0"],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield wait_for(process, log, folder)
    finally:
        process.kill()
        process.wait()


def wait_for(process, log, folder):
    """Return the Hub once it shows its page of log-in."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        said = log.read_text()
        if "JupyterHub is now running" in said:
            url = re.search(r"Open (\S+) ", said)[1]
            with urllib.request.urlopen(f"{url}/hub/login") as page:
                assert "Username:" in page.read().decode()
            return Hub(url, dict(re.findall(r"^  (\w+) +(\S+) ", said, re.MULTILINE)), folder)
        time.sleep(0.1)
    pytest.fail(f"the hub did not start:\n{log.read_text()}")
