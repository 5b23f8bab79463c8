"""The way of the tools to the running daemon: its unix socket, found through the config."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.catalogue.fault import EXIT_UNAVAILABLE, Fault, Trouble
from gateway.cli.face import Face

NAME: Final = "citygate.sock"


def path(face: Face) -> Path:
    """The socket of the daemon that runs this config. A faulty config is read as far as it goes: the daemon may run."""
    from gateway.config.files import STATE_DIR, collect

    gateway = collect(face.config).data.get("gateway")
    state_dir = gateway.get("state_dir", STATE_DIR) if isinstance(gateway, Mapping) else STATE_DIR
    return Path(str(state_dir)) / NAME


def ask(face: Face, request: Mapping[str, Any], *, timeout_s: float = 12.0) -> dict[str, Any]:
    """One question to the daemon; its answer.

    Raises:
        Trouble: no daemon answers (exit 69), or it answers with an error.
    """
    import asyncio

    from gateway.local import ask as ask_local

    where = path(face)
    try:
        answer = asyncio.run(ask_local(where, request, timeout_s=timeout_s))
    except PermissionError:
        raise
    except (OSError, TimeoutError) as error:
        raise absent(where, error) from None
    if "error" in answer:
        raise refused(answer["error"])
    return answer


def lines(face: Face) -> Generator[dict[str, Any]]:
    """The snapshot, then everything that happens, until the daemon goes away.

    Raises:
        Trouble: no daemon answers (exit 69).
    """
    import asyncio

    from gateway.local import subscribe

    where = path(face)
    stream = subscribe(where)
    with asyncio.Runner() as runner:
        try:
            while True:
                line = runner.run(_next(stream))
                if line is None:
                    return
                yield line
        except PermissionError:
            raise
        except OSError as error:
            raise absent(where, error) from None
        finally:
            runner.run(stream.aclose())  # type: ignore[attr-defined]  # it is a generator


async def _next(stream: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = await anext(stream, None)
    return found


def absent(where: Path, error: BaseException) -> Trouble:
    """Nobody listens on the socket."""
    seen = f"{where}: {getattr(error, 'strerror', None) or type(error).__name__}"
    return Trouble([Fault("CG-SYS-10", {"path": str(where)}, seen=seen)], exit_code=EXIT_UNAVAILABLE)


def refused(error: Mapping[str, Any]) -> Trouble:
    """The daemon's own error, as a fault."""
    fault = Fault(str(error.get("code", "CG-SYS-04")), fact=str(error.get("fact", "")))
    return Trouble([fault], exit_code=EXIT_UNAVAILABLE)
