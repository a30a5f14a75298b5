"""Try the course on a GPU, and measure there what batch norm costs; one JSON file holds it all.

    python benchmarks/gpu.py [--device cuda] [--out chapters/data/gpu.json] [--only PART ...]

Each part runs in a process of its own and within a time of its own: what breaks one, a lost GPU
included, leaves the others. The file is written after each part; "reasons" says what of a part is
not there, and why. The repository and torch are enough; the sets in Keras need Keras too, the
kernels, which run where they are named only, Triton. Without a GPU, `--device cpu` fills the same
file with the processor's figures, and `--small` does so with small shapes and few solutions, in
seconds.
"""

import argparse
import contextlib
import datetime
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "chapters" / "data" / "gpu.json"

# Seconds that each part may take on a GPU, in the order in which they run: what a chapter needs
# comes first. A processor gets as long as it takes.
PARTS = {
    "measurements": 95,
    "checks": 120,
    "features": 45,
    "grading": 80,
    "spread": 60,
    "kernels": 180,
}
# Of an optional set, for Triton: only where it is named.
_APART = {"kernels"}
_MACHINE_SECONDS = 60
_EMPTY = {"measurements": []}


@dataclass(frozen=True)
class Setting:
    """What a part is to do.

    Args:
        device: "cuda" or "cpu".
        small: whether to take few and small things, to prove that the script runs.
        seconds: after which it should begin nothing new.
    """

    device: str
    small: bool
    seconds: float


class Broken(RuntimeError):
    """A part ended before its end; the message says why."""


def child(name, setting, path):
    """Run one part in this process, and write what it has after each step.

    Args:
        name: of a module in on_gpu, whose ``part`` yields (value, reasons) as they grow.
        setting: the Setting.
        path: the file for both.
    """
    part = importlib.import_module(f"on_gpu.{name}").part
    for value, reasons in part(setting):
        write(path, {"value": value, "reasons": reasons})


def write(path, content):
    """Write a JSON file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(_as_text(content), encoding="utf-8")
    beside.replace(path)


def _as_text(content):
    """Return JSON with a row of a list in one line, so that a new run shows as lines that differ.

    >>> print(_as_text({"rows": [{"a": 1}, {"a": 2}]}))
    {
    "rows": [
    {"a": 1},
    {"a": 2}
    ]
    }
    <BLANKLINE>
    """
    return f"{_laid_out(content)}\n"


def _laid_out(content, depth=0):
    if isinstance(content, dict) and content and depth < 3:
        rows = [
            f"{json.dumps(key)}: {_laid_out(value, depth + 1)}" for key, value in content.items()
        ]
        return "{\n" + ",\n".join(rows) + "\n}"
    if isinstance(content, list) and any(isinstance(each, dict) for each in content):
        return "[\n" + ",\n".join(json.dumps(each) for each in content) + "\n]"
    return json.dumps(content)


def run(name, setting, limit):
    """Return (value, reasons) of a part that runs in a process of its own.

    Args:
        name, setting: as for ``child``.
        limit: the seconds after which the process is ended, or None.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder, "part.json"), Path(folder, "errors")
        try:
            _run_to_its_end(name, setting, limit, path, log)
            broken = []
        except Broken as problem:
            broken = [str(problem)]
        made = json.loads(path.read_text()) if path.exists() else {"value": None, "reasons": []}
    return made["value"], [*made["reasons"], *broken]


def _run_to_its_end(name, setting, limit, path, log):
    command = [sys.executable, __file__, "--child", name, "--out", path]
    with log.open("w") as errors:
        # A group of its own: its workers end with it.
        process = subprocess.Popen(
            [*command, "--setting", json.dumps(asdict(setting))],
            stderr=errors,
            env=_environment(setting.device),
            start_new_session=True,
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Broken(f"it was stopped after {limit:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status:
        lines = log.read_text(errors="replace").strip().splitlines()
        print("\n".join(lines[-30:]), file=sys.stderr)
        raise Broken((lines or [f"its process ended with {status}"])[-1][:500])


def _environment(device):
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    # Triton reads it when it is imported: kernels are compiled for a GPU, else interpreted.
    own["TRITON_INTERPRET"] = "0" if device == "cuda" else "1"
    # Set before Keras and OpenMP are loaded, and the same in every part.
    return {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", **os.environ, **own}


def started(out, machine):
    """Return the content of the file to go on from: what stands there, if it is of this machine."""
    empty = {name: _EMPTY.get(name, {}) for name in PARTS}
    fresh = machine | {"date": "", "seconds": 0, "took": {}, "reasons": {}} | empty
    if not out.exists():
        return fresh
    kept = json.loads(out.read_text())
    same = all(kept.get(key) == value for key, value in machine.items())
    return fresh | kept if same else fresh


def main():
    """Run the parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART")
    parser.add_argument("--small", action="store_true", help="small shapes, few solutions")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--setting", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, Setting(**chosen.setting), chosen.out)
        return 0
    return measure(chosen)


def measure(chosen):
    """Fill the file; return 1 where a part is not whole, else 0."""
    limited = chosen.device == "cuda"
    setting = Setting(chosen.device, chosen.small, _MACHINE_SECONDS)
    machine, reasons = run("machine", setting, _MACHINE_SECONDS if limited else None)
    if machine is None:
        print(f"No figures: {reasons[0]}", file=sys.stderr)
        return 1
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    content = started(chosen.out, machine)
    for name in chosen.only or [part for part in PARTS if part not in _APART]:
        print(f"--- {name}", flush=True)
        limit = PARTS[name] if limited else None
        setting = Setting(chosen.device, chosen.small, PARTS[name] / 3)
        start = time.monotonic()
        value, reasons = run(name, setting, limit)
        content["took"][name] = round(time.monotonic() - start, 1)
        content["seconds"] = round(sum(content["took"].values()), 1)
        if value is not None:
            content[name] = value
        content["reasons"] = {k: v for k, v in content["reasons"].items() if k != name}
        if reasons:
            content["reasons"][name] = reasons
        content["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
        write(chosen.out, content)
        print(f"{name}: {content['took'][name]:.0f} s; {reasons or 'whole'}", flush=True)
    return 1 if content["reasons"] else 0


if __name__ == "__main__":
    sys.exit(main())
