"""What a run is of: the chip, its driver and the versions."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch


def part(setting):
    """Yield the first keys of the file.

    Raises:
        RuntimeError: there is no GPU that torch can use, and one is asked for.
    """
    if setting.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no GPU that torch can use; --device cpu takes the processor")
    on_gpu = setting.device == "cuda"
    yield (
        {
            "chip": torch.cuda.get_device_name() if on_gpu else _processor(),
            "driver": _driver() if on_gpu else "",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "triton": _version("triton"),
        },
        [],
    )


def _processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def _driver():
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
    except OSError:
        return ""


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
