"""Read the first sheet of an Excel file as rows of text; nothing of it is computed."""

import io
import re
import zipfile
from xml.etree import ElementTree

from bncourse.errors import CourseError

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_MAGIC = b"PK\x03\x04"
_MOST_COLUMNS = 1000


def is_xlsx(data):
    """Return whether bytes are those of a zip, as .xlsx is one."""
    return data.startswith(_MAGIC)


def rows_of(data):
    """Return the rows of the first sheet, each a list of text.

    Args:
        data: the bytes of the file.

    Raises:
        CourseError: it is no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            names = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
            # sheet2 before sheet10.
            first = ElementTree.fromstring(
                book.read(min(names, key=lambda name: (len(name), name)))
            )
            texts = "xl/sharedStrings.xml"
            shared = ElementTree.fromstring(book.read(texts)) if texts in book.namelist() else ()
        told = [_text(each) for each in shared]
        return [_row(row, told) for row in first.iter(f"{_SPACE}row")]
    except (ValueError, LookupError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise CourseError(
            f"An Excel file must hold a sheet. Save it as CSV, and load that. Received: {error}"
        ) from None


def _row(row, texts):
    cells = {}
    for place, cell in enumerate(row.iter(f"{_SPACE}c")):
        letters = re.match("[A-Z]+", cell.get("r", ""))
        cells[_column(letters[0]) if letters else place] = _value(cell, texts)
    # One far to the right is no part of a list.
    width = min(max(cells, default=-1) + 1, _MOST_COLUMNS)
    return [cells.get(at, "") for at in range(width)]


def _column(letters):
    """Return the place of a column.

    >>> _column("A"), _column("Z"), _column("AA")
    (0, 25, 26)
    """
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell, texts):
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_SPACE}v", "")
    if cell.get("t") == "s" and value:
        return texts[int(value)]
    # A long number is kept with an exponent, a float with a zero, and both are shown without.
    if cell.get("t", "n") == "n" and re.search("[.E]", value) and float(value).is_integer():
        return str(int(float(value)))
    return value


def _text(node):
    return "".join(each.text or "" for each in node.iter(f"{_SPACE}t"))
