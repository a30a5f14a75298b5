"""Time one call on a device, with nothing of it in the cache and the work queued ahead."""

import statistics
import time

import torch

# More than the second-level cache of any GPU of today holds.
_FLUSH_BYTES = 2**28
# About a millisecond in which the GPU waits, while Python queues up the call that is timed: else
# the time of a small call is that of its launch.
_WAIT_CYCLES = 2_000_000
_WRITTEN = f"{_FLUSH_BYTES >> 20} MiB are written before, so that no input is in a cache"
METHOD = {
    "cuda": f"CUDA events around one call; {_WRITTEN}, and the GPU waits until the call is queued; "
    "median of the repeats",
    "cpu": f"a clock around one call; {_WRITTEN}; median of the repeats",
}


class Timer:
    """Times calls on one device.

    Args:
        device: "cuda" or "cpu".
        repeats: how often a call is timed.
        warm: how often it runs before.
        flush: the bytes that are written before each call.
    """

    def __init__(self, device, repeats, warm, flush=_FLUSH_BYTES):
        self.device, self.repeats, self.warm = device, repeats, warm
        self._flush = torch.empty(flush, dtype=torch.int8, device=device)
        self._once = _on_gpu if device == "cuda" else _on_cpu

    def __call__(self, make, run):
        """Return {"seconds": median, "spread": [least, largest]} of ``run(*make())``.

        Args:
            make: returns the arguments, untimed and anew for each repeat.
            run: what is timed.
        """
        found = []
        for _ in range(self.warm + self.repeats):
            arguments = make()
            self._flush.zero_()
            found.append(self._once(run, arguments))
        found = found[self.warm :]
        return {"seconds": statistics.median(found), "spread": [min(found), max(found)]}


def _on_gpu(run, arguments):
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(_WAIT_CYCLES)
    start.record()
    made = run(*arguments)
    stop.record()
    stop.synchronize()
    del made
    return start.elapsed_time(stop) / 1e3


def _on_cpu(run, arguments):
    start = time.perf_counter()
    made = run(*arguments)
    stop = time.perf_counter()
    del made
    return stop - start
