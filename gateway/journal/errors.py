"""What the journal raises; every error carries its evidence."""

from __future__ import annotations


class JournalError(Exception):
    """Root of the journal's errors."""


class JournalBusy(JournalError):
    """Another process (or another opening in this one) owns the folder.

    Attributes:
        folder: the journal's folder.
        pid: the owner's process id where the kernel tells it, else None.
    """

    def __init__(self, folder: str, pid: int | None) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"the journal {folder} is in use by {owner}")
        self.folder, self.pid = folder, pid


class JournalFull(JournalError):
    """The part that waits in memory for the disk has reached its bound; nothing was appended.

    Attributes:
        waiting_bytes: what waits for a commit.
        bound_bytes: how much may wait.
    """

    def __init__(self, waiting_bytes: int, bound_bytes: int) -> None:
        super().__init__(f"{waiting_bytes} bytes wait for the disk, {bound_bytes} may")
        self.waiting_bytes, self.bound_bytes = waiting_bytes, bound_bytes


class TooLarge(JournalError):
    """One entry, or all marks, or the preamble, would not leave room for others in a segment.

    Attributes:
        what: "entry", "marks" or "preamble".
        size_bytes: how large it is.
        bound_bytes: how large it may be.
    """

    def __init__(self, what: str, *, size_bytes: int, bound_bytes: int) -> None:
        super().__init__(f"{what} of {size_bytes} bytes, {bound_bytes} are allowed")
        self.what, self.size_bytes, self.bound_bytes = what, size_bytes, bound_bytes


class CommitFailed(JournalError):
    """Nothing is lost: what was not committed still waits in memory and `commit()` may be called again.

    Attributes:
        waiting: entries that wait.
        causes: what the disk answered, in order; empty when the cap allows no further segment (call `drop_oldest`).
    """

    def __init__(self, waiting: int, causes: tuple[OSError, ...]) -> None:
        reason = "; ".join(str(cause) for cause in causes) or "the cap allows no further segment"
        super().__init__(f"{waiting} entries wait in memory: {reason}")
        self.waiting, self.causes = waiting, causes


class NotYet(JournalError):
    """Nothing could be let go of now: after the next commit it may, or once the disk takes a file again."""


class FutureFormat(JournalError):
    """A segment was written by a newer version; nothing was touched.

    Attributes:
        segment: file name.
        version: its format version.
        known: the newest version that is known here.
        uuid: of the journal that it belongs to.
    """

    def __init__(self, segment: str, *, version: int, known: int, uuid: bytes) -> None:
        super().__init__(f"{segment} has format {version}, this version reads up to {known}")
        self.segment, self.version, self.known, self.uuid = segment, version, known, uuid
