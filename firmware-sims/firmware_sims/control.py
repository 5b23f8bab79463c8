"""Running simulators as a process: the ready line, JSON control lines on stdin, and a clean end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from firmware_sims import plugs
from firmware_sims.city import City
from firmware_sims.faults import Fault

MAX_LINE_BYTES: Final = 65536
Order: TypeAlias = Callable[[bytes], Awaitable[dict[str, object]]]


def say(message: dict[str, object]) -> None:
    """One JSON line on stdout."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def obey(city: City, line: bytes) -> dict[str, object]:
    """Do what one control line says; the answer tells what was wrong with it.

    `{"fault": NAME, "device": ID, "rate": .., "delay_s": .., ...}`, `{"quirk": NAME, "device": ID}`,
    `{"heal": ID, "fault": NAME?}`, `{"babble": WIRE, "noise": "low"|"off"|..}`, `{ACT: WIRE}` (plugs.ACTS: "unplug",
    "replug", "cut" ...), `{"swap": [WIRE, WIRE]}`.
    `{"values": {POINT: NUMBER}, "device": ID}`, `{"leap": SECONDS}` (the city's day moves on),
    `{"device_clock": ID, "ahead_s": SECONDS}`, `{"broker"|"database": "down"|"up"}` (where the city has one).
    A key `at` (s, of scenario files) is ignored.
    """
    try:
        order: dict[str, Any] = json.loads(line)
        order.pop("at", None)
        await _act(city, order)
    except (ValueError, TypeError, AttributeError) as error:
        return {"error": str(error)}
    except KeyError as error:
        return {"error": f"there is no {error}"}
    return {"done": order}


async def _act(city: City, order: dict[str, Any]) -> None:
    verb = next(iter(_ORDERS.keys() & order.keys()), None)
    acts = plugs.ACTS.keys() & order.keys()
    for name in acts:
        await plugs.ACTS[name](city.wires[order[name]])
    if verb is not None:
        await _ORDERS[verb](city, order)
    elif not acts:
        options = {key: value for key, value in order.items() if key not in {"fault", "device"}}
        city.strike(order["device"], Fault(order["fault"], **options))


async def _quirk(city: City, order: dict[str, Any]) -> None:
    city.afflict(order["device"], order["quirk"])


async def _values(city: City, order: dict[str, Any]) -> None:
    city.impose(order["device"], {point: float(value) for point, value in order["values"].items()})


async def _leap(city: City, order: dict[str, Any]) -> None:
    city.leap(float(order["leap"]))


async def _clock(city: City, order: dict[str, Any]) -> None:
    city.set_clock(order["device_clock"], float(order["ahead_s"]))


async def _outage(city: City, order: dict[str, Any]) -> None:
    part = "broker" if "broker" in order else "database"
    await city.outage(part, down={"down": True, "up": False}[order[part]])


async def _heal(city: City, order: dict[str, Any]) -> None:
    city.heal(order["heal"], order.get("fault"))


async def _babble(city: City, order: dict[str, Any]) -> None:
    city.babble(order["babble"], order.get("noise", "low"))


async def _swap(city: City, order: dict[str, Any]) -> None:
    one, other = order["swap"]
    plugs.swap(city.wires[one], city.wires[other])


_ORDERS: Final[dict[str, Callable[[City, dict[str, Any]], Awaitable[None]]]] = {
    "quirk": _quirk,
    "values": _values,
    "leap": _leap,
    "device_clock": _clock,
    "broker": _outage,
    "database": _outage,
    "heal": _heal,
    "babble": _babble,
    "swap": _swap,
}


def scenario(path: Path) -> list[tuple[float, bytes]]:
    """Control lines of a file by their `at`, seconds after the start; blank lines and lines with # are skipped.

    Raises:
        ValueError: a line is no JSON object with a number `at`.
    """
    orders = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            orders.append((float(json.loads(line)["at"]), line))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}:{number}: no control line with `at`: {error!r}") from None
    return sorted(orders, key=lambda order: order[0])


async def follow(city: City, orders: list[tuple[float, bytes]]) -> None:
    """Do what a scenario says, at its times; each answer is a line on stdout."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for at_s, line in orders:
        await asyncio.sleep(start + at_s - loop.time())
        say(await obey(city, line) | {"at": at_s})


class Told:
    """Waits for SIGTERM, SIGINT, the end of stdin (where it is a pipe) or a given time.

    Make it inside the running loop before anything is announced: from then on a signal ends the program cleanly.
    """

    def __init__(self) -> None:
        self.end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.end.set)

    async def to_end(self, *, seconds: float | None = None, order: Order | None = None) -> None:
        """Wait for the end; obey the lines of stdin meanwhile."""
        feed = asyncio.create_task(_listen(self.end, order), name="stdin")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.end.wait()
        feed.cancel()
        with suppress(asyncio.CancelledError):
            await feed


async def _listen(end: asyncio.Event, order: Order | None) -> None:
    stdin = sys.stdin
    if stdin is None or stdin.closed or not _is_pipe(stdin.fileno()):
        return
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(stdin.fileno()), "rb", buffering=0)
    )
    try:
        while line := await reader.readline():
            if order is not None and line.strip():
                say(await order(line))
        end.set()
    finally:
        transport.close()


def _is_pipe(number: int) -> bool:
    mode = os.fstat(number).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
