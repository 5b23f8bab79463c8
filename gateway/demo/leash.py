"""The leash: ends what a demo started where the demo itself is gone without a word (SIGKILL, no memory, its terminal).

Children carry a mark in their environment. The leash is a process of its own that waits for the end of its stdin, which
the demo alone holds open, and then looks for the mark. The kernel's signal at a parent's death would not do: it comes
at the death of the thread that started the child, and the demo starts some in threads that are soon over.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

NAME: Final = "CITYGATE_DEMO"
MARK: Final = secrets.token_hex(16)  # of this process's children
PATIENCE_S: Final = 1.0
LOOK_S: Final = 0.05


def environment() -> dict[str, str]:
    """The environment of a child on the leash."""
    return {**os.environ, NAME: MARK}


def hold() -> subprocess.Popen[bytes]:
    """Start the leash."""
    bare = {key: value for key, value in os.environ.items() if key != NAME}
    return subprocess.Popen(  # noqa: S603 - this very file, no shell
        [sys.executable, "-I", "-S", __file__, MARK],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=bare,
        start_new_session=True,
    )


def let_go(held: subprocess.Popen[bytes]) -> None:
    """The demo has ended its children itself: the leash goes without looking for them."""
    held.kill()
    held.communicate()


def marked(mark: str) -> list[int]:
    """Processes with this mark that are not dead yet."""
    wanted, found = f"{NAME}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def end(mark: str) -> None:
    """SIGTERM to all that carry the mark, and SIGKILL to those that do not end by it."""
    until_s = time.monotonic() + PATIENCE_S
    signals = dict.fromkeys(marked(mark), signal.SIGTERM)
    while signals:
        for pid, number in signals.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while (left := marked(mark)) and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        signals = dict.fromkeys(left, signal.SIGKILL)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(sys.argv[1])
