"""What happens to a port itself: pulled, put back, held by another program, exchanged with another, cut, gone silent.

| act | pty | TCP |
|---|---|---|
| unplug, replug | the port vanishes; comes back as another device behind the same symlink | refuses; listens again |
| dangle | the symlink points to nothing until `replug` | - |
| occupy, vacate | another program holds the port's lock; lets it go | - |
| swap | two ports change places behind their symlinks (adapters renumbered) | - |
| cut | - | every connection is reset |
| mute, unmute | - | takes bytes and never answers: half open; answers again |
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from firmware_sims.tcp import TcpWire
from firmware_sims.wire import PtyWire

AnyWire: TypeAlias = PtyWire | TcpWire


async def unplug(wire: AnyWire) -> None:
    """Pull the plug."""
    done = wire.unplug()
    if done is not None:
        await done


async def replug(wire: AnyWire) -> None:
    """Put it back."""
    done = wire.replug()
    if done is not None:
        await done


async def dangle(wire: AnyWire) -> None:
    """Pull it and leave a symlink that points to nothing."""
    await unplug(_pty(wire))
    _pty(wire).link.symlink_to("/dev/gone-away")


async def occupy(wire: AnyWire) -> None:
    """Hold the port's lock, as another program would that has it open."""
    pty = _pty(wire)
    if pty.holder < 0:
        pty.holder = os.open(pty.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.flock(pty.holder, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def vacate(wire: AnyWire) -> None:
    """Let the lock go."""
    pty = _pty(wire)
    if pty.holder >= 0:
        os.close(pty.holder)
        pty.holder = -1


async def cut(wire: AnyWire) -> None:
    """Reset every connection."""
    await _tcp(wire).cut()


async def mute(wire: AnyWire) -> None:
    """Take bytes and never answer."""
    _tcp(wire).muted = True


async def unmute(wire: AnyWire) -> None:
    """Answer again."""
    _tcp(wire).muted = False


def swap(one: AnyWire, other: AnyWire) -> None:
    """Let two ports change places behind their symlinks; who has one open goes on with the device it opened.

    Raises:
        ValueError: one is no pty, or is unplugged.
    """
    paths = [_pty(wire).link.readlink() for wire in (one, other)]
    for wire, path in zip((one, other), reversed(paths), strict=True):
        link = _pty(wire).link
        fresh = link.with_name(f".{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path)
        fresh.replace(link)


def _pty(wire: AnyWire) -> PtyWire:
    if not isinstance(wire, PtyWire):
        raise ValueError("this is a TCP port: it has no lock and no symlink")  # noqa: TRY004 - an order's fault
    return wire


def _tcp(wire: AnyWire) -> TcpWire:
    if not isinstance(wire, TcpWire):
        raise ValueError("this is a serial port: it has no connections")  # noqa: TRY004 - an order's fault
    return wire


ACTS: Final[dict[str, Callable[[AnyWire], Awaitable[None]]]] = {
    "unplug": unplug,
    "replug": replug,
    "dangle": dangle,
    "occupy": occupy,
    "vacate": vacate,
    "cut": cut,
    "mute": mute,
    "unmute": unmute,
}
