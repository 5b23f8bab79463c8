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
from typing import Any

from firmware_sims.city import City
from firmware_sims.faults import Fault

MAX_LINE_BYTES = 65536


def say(message: dict[str, object]) -> None:
    """One JSON line on stdout."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def obey(city: City, line: bytes) -> dict[str, object]:
    """Do what one control line says; the answer tells what was wrong with it.

    `{"fault": NAME, "device": ID, "rate": .., "delay_s": .., ...}`, `{"heal": ID, "fault": NAME?}`,
    `{"unplug": WIRE}`, `{"replug": WIRE}`.
    """
    try:
        order: dict[str, Any] = json.loads(line)
        if "heal" in order:
            city.heal(order["heal"], order.get("fault"))
        elif "unplug" in order:
            await city.unplug(order["unplug"])
        elif "replug" in order:
            await city.replug(order["replug"])
        else:
            options = {key: value for key, value in order.items() if key not in {"fault", "device"}}
            city.strike(order["device"], Fault(order["fault"], **options))
    except (ValueError, TypeError, AttributeError) as error:
        return {"error": str(error)}
    except KeyError as error:
        return {"error": f"there is no {error}"}
    return {"done": order}


async def until_told(
    *, seconds: float | None = None, order: Callable[[bytes], Awaitable[dict[str, object]]] | None = None
) -> None:
    """Wait for SIGTERM, SIGINT, the end of stdin (where it is a pipe) or the given time; obey lines meanwhile."""
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    feed = asyncio.create_task(_listen(end, order), name="stdin")
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await end.wait()
    feed.cancel()
    with suppress(asyncio.CancelledError):
        await feed


async def _listen(end: asyncio.Event, order: Callable[[bytes], Awaitable[dict[str, object]]] | None) -> None:
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
