"""Hand-ins whose tests, metadata or cells were changed, and cells that want another language."""

from bncourse.trial.corpus.answers import SOLUTIONS, TARGET, WRONG
from bncourse.trial.corpus.making import Bad, answer_cell, cell, check_cell, hands_in, notebook

_WRONG = {TARGET: "wrong"}


def cases():
    """Return the cases."""
    return [
        Bad(32, "test cells deleted", hands_in(_deleted()), _WRONG, flag="was put back"),
        Bad(32, "test cells edited", hands_in(_edited()), _WRONG),
        Bad(33, "answer handed in twice", hands_in(_doubled()), flag="duplicate"),
        Bad(33, "answer split over two cells", hands_in(_split()), flag="duplicate"),
        Bad(34, "metadata stripped", hands_in(_stripped()), flag="found by its content"),
        Bad(35, "hostile kernel", hands_in(_with_a_kernel())),
        cell(35, "%%bash", "%%bash\nrm -rf ~ /tmp/* / 2>/dev/null; echo done"),
        cell(35, "%%script and %load_ext", "%%script false\nx", "%load_ext no_such_thing"),
    ]


def _deleted():
    nb = notebook({TARGET: WRONG})
    nb.cells = [each for each in nb.cells if not _is_locked(each)]
    return nb


def _edited():
    nb = notebook({TARGET: WRONG})
    for each in filter(_is_locked, nb.cells):
        each.source = "1000.0"
        each.metadata.nbgrader.points = 1000
        each.cell_type = "markdown"
    return nb


def _is_locked(cell):
    return cell.metadata.get("nbgrader", {}).get("locked")


def _doubled():
    nb = notebook({TARGET: WRONG})
    nb.cells += [answer_cell(TARGET, SOLUTIONS[TARGET]), check_cell(TARGET)]
    return nb


def _split():
    nb = notebook()
    nb.cells.insert(3, answer_cell(TARGET, "scratch = 1"))
    return nb


def _stripped():
    nb = notebook()
    for each in nb.cells:
        each.metadata = {}
    return nb


def _with_a_kernel():
    nb = notebook()
    nb.metadata = {"kernelspec": {"name": "../evil", "language": "bash", "display_name": "x"}}
    return nb
