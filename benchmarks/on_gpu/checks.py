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
_SEEDS = (0, 1)


def part(setting):
    """Yield what was compared, and the rows that differ."""
    names, reasons = sets(setting.small)
    tasks = [
        task for seed in _SEEDS[: 1 if setting.small else None] for task in _tasks(names, seed)
    ]
    if setting.small:
        tasks = [task for task in tasks if task[1] == _SMALL_EXERCISE][:1]
    tasks = [(*task, setting.device, setting.small) for task in tasks]
    value = {"rows": 0, "exercises": {}, "differ": [], "not_as_they_should": []}
    late = 0
    for task, rows, error in spread_over(compared, tasks, setting):
        name, seed = task[1], task[2]
        if error:
            late += "TimeoutError" in error
            # The first seed is what is asked; the others are tried while there is time.
            if seed == _SEEDS[0] or "TimeoutError" not in error:
                reasons.append(f"{name}, solutions from {task[3]}, seed {seed}: {error}")
        else:
            _count(value, name, seed, rows)
        print(f"{name} from {task[3]}, seed {seed}: {error or f'{len(rows)} rows'}", flush=True)
        yield value, reasons
    if late:
        print(f"{late} tasks had no time left", flush=True)


def _tasks(names, seed):
    for problem_set in names:
        for name, exercise in load(problem_set).items():
            count = len(correct(problem_set)[name]) + len(exercise.mistakes)
            for start in range(0, count, _CHUNK):
                yield problem_set, name, seed, start


def compared(problem_set, name, seed, start, device, small):
    """Return (solution, what it should be told, on the processor, on the device) for a few."""
    exercise = load(problem_set)[name]
    solutions = [(f"right: {each.__name__}", "right", each) for each in correct(problem_set)[name]]
    solutions += [(each.name, each.name, each.obj) for each in exercise.mistakes]
    cases = draw_cases(exercise, seed)
    some = solutions[start : start + (_SMALL_CHUNK if small else _CHUNK)]
    return [
        (what, wanted, said(exercise, obj, cases), said(exercise, obj, cases, device))
        for what, wanted, obj in some
    ]


def _count(value, name, seed, rows):
    """Add the rows of one task."""
    here = value["exercises"].setdefault(name, {"rows": 0, "right": 0, "mistakes": 0})
    for what, wanted, on_cpu, on_device in rows:
        value["rows"] += 1
        here["rows"] += 1
        if seed == _SEEDS[0]:
            here["right" if wanted == "right" else "mistakes"] += 1
        row = {"exercise": name, "solution": what, "seed": seed, "cpu": on_cpu, "device": on_device}
        if on_cpu != on_device:
            value["differ"].append(row)
        if wanted != on_device:
            value["not_as_they_should"].append(row)
