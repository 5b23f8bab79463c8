"""The command `citygate`: one verb, one file; a verb is imported only when it runs.

`main` is the last resort of the command line: it turns every failure into a fault of the catalogue and an exit code
of contracts.md. A bug becomes exit 70 with a report, and a traceback only with -vv.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from gateway.catalogue.fault import (
    EXIT_AGAIN,
    EXIT_BUG,
    EXIT_CONFIG,
    EXIT_INTERRUPTED,
    EXIT_IO,
    EXIT_NO_INPUT,
    EXIT_PERMISSION,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Fault,
    Trouble,
)
from gateway.cli.face import Face
from gateway.cli.verbs import citygate

COMPLETE: Final = "_CITYGATE_COMPLETE"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point: run the verb of `argv` (default: the process's own) and leave with its exit code."""
    if COMPLETE in os.environ:
        sys.exit(complete(os.environ[COMPLETE]))
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: Sequence[str]) -> int:
    """Run the verb of `argv`; returns the exit code."""
    context = citygate.make_context("citygate", [], resilient_parsing=True)
    try:
        with citygate.make_context("citygate", list(argv)) as context:
            code = citygate.invoke(context)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as misuse:
        return _misused(misuse, context.obj)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except Exception as error:  # noqa: BLE001 - the last resort, see the module's docstring
        return _told(error, context.obj if isinstance(context.obj, Face) else Face())


def complete(instruction: str) -> int:
    """What the shell asks for at a Tab: click's own answer, which its `main` would give."""
    from click.shell_completion import shell_complete

    return shell_complete(citygate, {}, "citygate", COMPLETE, instruction)


def _misused(misuse: click.ClickException, face: object) -> int:
    from gateway.cli.words import language, misused

    context = getattr(misuse, "ctx", None)
    face = face if context is None else context.find_root().obj
    face = face if isinstance(face, Face) else Face(lang=language(None))
    face.faults([misused(misuse, face.lang)])
    return EXIT_USAGE


def _pipe_closed() -> int:
    """The reader of our output went away (`citygate status | head -1`): nothing to complain about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _told(error: Exception, face: Face) -> int:
    if face.verbosity > 1:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, Trouble):
        face.faults(error.faults)
        return error.exit_code
    fault, code = _outside(error) or _bug(error)
    face.faults([fault])
    return code


def _outside(error: Exception) -> tuple[Fault, int] | None:
    """What the machine refused: files, permissions, ports; None where the error is ours."""
    where = str(getattr(error, "filename", "") or "")
    if isinstance(error, PermissionError):
        return Fault("CG-SYS-05", {"path": where or "?"}, seen=str(error)), EXIT_PERMISSION
    if isinstance(error, FileNotFoundError):
        return Fault("CG-SYS-06", {"path": where or "?"}, seen=str(error)), EXIT_NO_INPUT
    if isinstance(error, (ConnectionError, TimeoutError)):
        return Fault("CG-SYS-07", {"what": where or "?"}, seen=str(error)), EXIT_UNAVAILABLE
    if isinstance(error, OSError):
        return Fault("CG-SYS-08", {"path": where or "?"}, seen=str(error)), EXIT_IO
    drivers = sys.modules.get("drivers.errors")
    if drivers is not None and isinstance(error, drivers.LinkError):
        code = "CG-BUS-03" if isinstance(error, drivers.LinkBusy) else "CG-BUS-01"
        return Fault(code, {"endpoint": error.endpoint}, seen=error.fact), EXIT_UNAVAILABLE
    return _journal(error)


def _journal(error: Exception) -> tuple[Fault, int] | None:
    """The journal's own refusals: it is in use (try again, 75), or a newer version wrote it (78)."""
    errors = sys.modules.get("gateway.journal.errors")
    if errors is not None and isinstance(error, errors.JournalBusy):
        return Fault("CG-JRN-01", {"path": error.folder}, seen=str(error)), EXIT_AGAIN
    if errors is not None and isinstance(error, errors.FutureFormat):
        return Fault("CG-JRN-05", {"path": error.segment}, seen=str(error)), EXIT_CONFIG
    return None


def _bug(error: Exception) -> tuple[Fault, int]:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else ""
    return Fault("CG-SYS-02", at=place, seen=f"{type(error).__name__}: {error}"), EXIT_BUG
