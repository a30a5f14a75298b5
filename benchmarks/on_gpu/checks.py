"""Whether a check says the same on the GPU as on the processor: every right solution and mistake.

Both verdicts of a row are made in one process. A row that differs is listed with both.
"""

from seeds import said

from bncourse.exercise import draw_cases
from bncourse.registry import load
from on_gpu.workers import correct, sets, spread_over

# More for a short part: solutions of one exercise share what is known of its mistakes.
_CHUNK = 20
_SMALL_CHUNK = 3
_SMALL_EXERCISE = "BatchNormFunction"
# The first is whole; the others are tried while there is time.
_FIRST, *_MORE = range(2)


def part(setting):
    """Yield what was compared, and the rows that differ."""
    names, reasons = sets(setting.small)
    tasks, extra = _tasks(names, [_FIRST], setting), _tasks(names, _MORE, setting)
    if setting.small:
        tasks, extra = [task for task in tasks if task[1] == _SMALL_EXERCISE][:1], []
    value = nothing()
    for task, rows, error in spread_over(compared, tasks, setting, extra):
        words = f"{task[1]} from {task[3]}, seed {task[2]}"
        if error:
            reasons.append(f"{words}: {error}")
        elif rows:
            count(value, task[1], task[2], rows)
        print(f"{words}: {error or f'{len(rows or [])} rows'}", flush=True)
        yield value, reasons


def nothing():
    """Return what was compared before anything is."""
    return {"rows": 0, "exercises": {}, "differ": [], "not_as_they_should": []}


def _tasks(names, seeds, setting):
    return [
        (problem_set, name, seed, start, setting.device, setting.small)
        for seed in seeds
        for problem_set in names
        for name, exercise in load(problem_set).items()
        for start in range(0, len(correct(problem_set)[name]) + len(exercise.mistakes), _CHUNK)
    ]


def compared(problem_set, name, seed, start, device, small, chunk=_CHUNK):
    """Return (solution, what it should be told, on the processor, on the device) for a few."""
    exercise = load(problem_set)[name]
    solutions = [(f"right: {each.__name__}", "right", each) for each in correct(problem_set)[name]]
    solutions += [(each.name, each.name, each.obj) for each in exercise.mistakes]
    cases = draw_cases(exercise, seed)
    some = solutions[start : start + (_SMALL_CHUNK if small else chunk)]
    return [
        (what, wanted, said(exercise, obj, cases), said(exercise, obj, cases, device))
        for what, wanted, obj in some
    ]


def count(value, name, seed, rows):
    """Add the rows of one task."""
    here = value["exercises"].setdefault(name, {"rows": 0, "right": 0, "mistakes": 0})
    for what, wanted, on_cpu, on_device in rows:
        value["rows"] += 1
        here["rows"] += 1
        if seed == _FIRST:
            here["right" if wanted == "right" else "mistakes"] += 1
        row = {"exercise": name, "solution": what, "seed": seed, "cpu": on_cpu, "device": on_device}
        if on_cpu != on_device:
            value["differ"].append(row)
        if wanted != on_device:
            value["not_as_they_should"].append(row)
