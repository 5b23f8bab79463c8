"""`citygate run`: the daemon."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from types import FrameType
from typing import Final

import click

from gateway.cli.face import Face

_SYSLOG: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

# Readings leave by their count of references; cycles are few. Looking for them 28 times less often saves a twentieth.
_GARBAGE: Final = (20_000, 50, 100)


class _Line(logging.Formatter):
    """One line per message; under systemd with the level that its journal understands (sd-daemon(3))."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"<{_SYSLOG.get(record.levelno, 6)}>{text}" if self._journal else text


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise click.exceptions.Exit(0)


@click.command("run")
@click.option("--once", is_flag=True, help="Read every device once, deliver, and stop.")
@click.option("--dry-run", is_flag=True, help="Publish nothing.")
@click.pass_obj
def command(face: Face, *, once: bool, dry_run: bool) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C. Exit 78 when the config is faulty."""
    signal.signal(signal.SIGTERM, _ended)  # until the daemon has its own: a stop during the start is no failure
    from gateway.config.load import load

    loaded = load(face.config)
    face.faults(loaded.warnings)
    from gateway.daemon import run  # after the config: a faulty one is told at once
    from gateway.desk import AGAIN

    talk = logging.StreamHandler()
    talk.setFormatter(_Line(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.DEBUG if face.verbosity else logging.INFO, handlers=[talk])
    gc.freeze()  # all modules: they live as long as the process, and no collection need look at them again
    gc.set_threshold(*_GARBAGE)
    command = (sys.executable, "-m", "gateway", "--config", str(face.config))
    code = run(loaded, once=once, dry_run=dry_run, command=command)
    if code == AGAIN:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - ourselves, as we were called: the config has changed
    return code
