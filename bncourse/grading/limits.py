"""How much one submission may use."""

from dataclasses import asdict, dataclass

MIB = 2**20


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
        arrays: of all arrays in one answer.
        control: of one control message.
        notebook: of the notebook file.
    """

    item_seconds: float = 30.0
    total_seconds: float = 300.0
    memory: int = 2048 * MIB
    disk: int = 64 * MIB
    processes: int = 64
    open_files: int = 256
    output: int = 64 * 1024
    image: int = 2 * MIB
    arrays: int = 64 * MIB
    control: int = 8 * MIB
    notebook: int = 20 * MIB

    def as_dict(self):
        """Return the limits as a dict that JSON can hold."""
        return asdict(self)
