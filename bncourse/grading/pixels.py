"""Whether what calls itself a picture is one, and of a size that a browser can show."""

import base64
import binascii
import struct

# A few hundred bytes can stand for a billion pixels, which every browser that shows them unpacks.
MOST_PIXELS = 2**25

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# The markers of a JPEG that begin a frame, and so tell its size; three between them do not.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_picture(content, mime, most):
    """Return whether base64 holds a PNG or a JPEG, as its type says, that may be shown.

    Args:
        content: whatever a student's process or notebook says.
        mime: the type; all but image/png and image/jpeg are refused.
        most: characters of base64.

    >>> is_picture("PHN2Zz4=", "image/png", 100)
    False
    """
    if not isinstance(content, str) or len(content) > most:
        return False
    return 0 < pixels_in(content, mime) <= MOST_PIXELS


def pixels_in(content, mime):
    """Return how many pixels the text of a picture in base64 stands for; 0 if it is none."""
    if mime not in _SIZES:
        return 0
    try:
        width, height = _SIZES[mime](base64.b64decode(content, validate=False))
    except (binascii.Error, ValueError, struct.error):
        return 0
    return width * height


def _size_of_png(data):
    if not data.startswith(_PNG) or data[12:16] != b"IHDR":
        raise ValueError("a PNG must begin as one")
    return struct.unpack_from(">II", data, 16)


def _size_of_jpeg(data):
    if not data.startswith(_JPEG):
        raise ValueError("a JPEG must begin as one")
    place = len(_JPEG)
    while True:
        lead, marker, length = struct.unpack_from(">BBH", data, place)
        if lead != 0xFF:
            raise ValueError("a part of a JPEG must begin with a marker")
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 2 + max(2, length)


_SIZES = {"image/png": _size_of_png, "image/jpeg": _size_of_jpeg}
