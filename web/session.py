"""Run the cells of a page as the kernel of a notebook would, in one namespace."""

import ast
import contextlib
import io
import json
import linecache
import traceback

# More than this nobody reads, and a page would stall on it.
_MOST_SHOWN = 20_000

_names = {"__name__": "__main__"}


def run(cells):
    """Run cells until one raises, and return what the last of them shows.

    Args:
        cells: JSON of a list of ``{"name", "source", "quiet"}``. What a quiet cell prints is
            dropped, and so is what it raises: it stands above the one that was asked for.

    Returns:
        JSON of ``{"text", "ok"}``.
    """
    shown = io.StringIO()
    for cell in json.loads(cells):
        stream = io.StringIO() if cell["quiet"] else shown
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            raised = _raised(cell["name"], cell["source"])
        if raised and not cell["quiet"]:
            return _result(shown.getvalue() + raised, ok=False)
    return _result(shown.getvalue(), ok=True)


def _result(text, ok):
    if len(text) > _MOST_SHOWN:
        text = text[:_MOST_SHOWN] + "\n..."
    return json.dumps({"text": text.rstrip("\n"), "ok": ok})


def _raised(name, source):
    """Run one cell; return what it raises as text, or an empty one."""
    file = f"<cell {name}>"
    # Messages quote the line, as in a notebook.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        # Not ast.parse, whose own frame a message on the syntax would show.
        _execute(compile(source, file, "exec", ast.PyCF_ONLY_AST), file)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return _told(error)
    return ""


def _execute(tree, file):
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, file, "exec"), _names)
    if last is not None:
        value = eval(compile(last, file, "eval"), _names)
        if value is not None:
            print(repr(value))


def _told(error):
    # The check's own hook: the sentence, without frames.
    told = getattr(error, "_render_traceback_", None)
    if told:
        return "\n".join(told())
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))
