"""How much one submission may use."""

from dataclasses import asdict, dataclass, fields

MIB = 2**20

_KINDS = {int: (int, "a whole number"), float: ((int, float), "a number")}


@dataclass(frozen=True)
class Limits:
    """The limits of one submission; sizes in bytes, times in seconds.

    Args:
        item_seconds: for one cell, and for all cases of one exercise.
        total_seconds: for the whole submission, restarts included.
        memory: on top of what Python and the libraries need, for all its processes together.
        disk: in the temporary folder, and as much again in shared memory.
        processes: processes and threads.
        open_files: per process.
        output: of text per cell.
        image: of all images per cell.
        shown: of the outputs of all cells together.
        arrays: of all arrays in one answer.
        control: of one control message.
        notebook: of the notebook file.

    Raises:
        ValueError: if one is no number, or not positive.
    """

    item_seconds: float = 30.0
    total_seconds: float = 300.0
    memory: int = 2048 * MIB
    disk: int = 64 * MIB
    processes: int = 64
    open_files: int = 256
    output: int = 64 * 1024
    image: int = 2 * MIB
    shown: int = 16 * MIB
    arrays: int = 64 * MIB
    control: int = 8 * MIB
    notebook: int = 20 * MIB

    def __post_init__(self):
        for field in fields(Limits):
            name, value = field.name, getattr(self, field.name)
            kinds, words = _KINDS[field.type]
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise ValueError(f"{name} must be {words}. Received: {name}={value!r}")
            if not value > 0:
                raise ValueError(f"{name} must be positive. Received: {name}={value!r}")

    def as_dict(self):
        """Return the limits as a dict that JSON can hold."""
        return asdict(self)


def limits_of(config):
    """Return the Limits that a course demands.

    Args:
        config: the traitlets Config of the course.

    Raises:
        ValueError: if it names a limit that there is not, or a value that is none.
    """
    asked = config.TrustedExecute.get("limits", {})
    if not isinstance(asked, dict):
        raise ValueError(f"c.TrustedExecute.limits must be a dict. Received: {asked!r}")
    known = [field.name for field in fields(Limits)]
    unknown = sorted({*asked} - {*known})
    if unknown:
        raise ValueError(f"A limit must be one of {', '.join(known)}. Received: {unknown}")
    return Limits(**asked)
