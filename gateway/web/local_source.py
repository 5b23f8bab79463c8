"""The gateway on this machine, through the daemon's unix socket. Works without any network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from gateway.clock import Clock, rfc3339
from gateway.local import ask, subscribe
from gateway.web.picture import Picture
from gateway.web.source import NoHistory, NoSteering

AGAIN_S: Final = 0.5
HEALTH_S: Final = 5.0
SILENT_S: Final = 12.0  # the subscription brings health every 30 s at the least, our own question every 5 s
STEER_S: Final = 150.0  # longer than the longest tool of the daemon's desk
BACK_MS: Final = 26 * 3_600_000
_HEALTH: Final = ("uptime_s", "clock", "buses", "sinks", "disk_free", "rss", "temp")


class LocalSource:
    """One gateway. `path` is its socket."""

    tick_s = 1.0

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._gateway = ""

    async def run(self, picture: Picture) -> None:
        """Subscribe, fill the picture, and begin again half a second after any end."""
        picture.source |= {"kind": "local", "where": str(self._path)}
        while True:
            fact = "the daemon ended the connection"
            try:
                async with asyncio.TaskGroup() as group:
                    asking = group.create_task(self._ask_health(picture), name="ask-health")
                    await self._listen(picture, group)
                    asking.cancel()
            except* (OSError, TimeoutError, ValueError) as errors:  # ValueError: a line too long, or no JSON
                fact = _first(errors)
            picture.state(up=False, since=rfc3339(self._clock.wall_ms()), fact=fact)
            await asyncio.sleep(AGAIN_S)

    async def _listen(self, picture: Picture, group: asyncio.TaskGroup) -> None:
        stream = subscribe(self._path)
        async with aclosing(stream):  # type: ignore[type-var]
            looking_back = None
            async for line in stream:
                if "devices" in line:
                    self._begin(picture, line)
                    looking_back = group.create_task(self._look_back(picture), name="look-back")
                elif "record" in line:
                    self._record(picture, line["record"])
            if looking_back is not None:
                looking_back.cancel()

    def _begin(self, picture: Picture, snapshot: Mapping[str, Any]) -> None:
        about = snapshot["gateway"]
        gateway = self._gateway = about["id"]
        parts = {key: snapshot[key] for key in ("clock", "buses", "sinks", "journal") if key in snapshot}
        picture.gateway(gateway, {**about, **parts, "up": True, "t": snapshot["t"]})
        known = {f"{gateway}/{ident}" for ident in snapshot["devices"]}
        for key in [key for key in picture.devices if key not in known]:
            picture.drop(key)
        for ident, facts in snapshot["devices"].items():
            picture.device(gateway, ident, facts={**facts, "streams": about.get("streams")})
            for window in facts.get("windows", ()):
                picture.window(gateway, {"device": ident, **window})
            if facts["last"] is not None:
                picture.reading(gateway, facts["last"])
        alarms = snapshot.get("alarms", ())
        picture.quiet(gateway, [line["id"] for line in alarms])
        for line in alarms:
            picture.event(gateway, line)
        picture.state(up=True, since=rfc3339(self._clock.wall_ms()))

    def _record(self, picture: Picture, line: Mapping[str, Any]) -> None:
        if line["stream"] == "event":
            picture.event(self._gateway, line)
        elif line["stream"] == "raw":
            picture.reading(self._gateway, line)
        else:
            picture.window(self._gateway, line)

    async def _ask_health(self, picture: Picture) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            report = await ask(self._path, {"ask": "health"}, timeout_s=SILENT_S)
            if self._gateway:
                facts: dict[str, Any] = {key: report[key] for key in _HEALTH if key in report}
                picture.gateway(self._gateway, {**facts, "t": report.get("t", ""), "up": True})

    async def _look_back(self, picture: Picture) -> None:
        """Fill sparklines and day figures from the journal; without, they begin now."""
        now_ms = self._clock.wall_ms()
        leading = {point for device in picture.devices.values() for point in device.about["lead"][:1]}
        quarters = {device.about["window"] for device in picture.devices.values()} - {""}
        for stream, points in (("1h", ["-"]), *((one, sorted(leading)) for one in sorted(quarters))):
            begin, end = rfc3339(now_ms - BACK_MS), rfc3339(now_ms + 1)
            while begin:  # an answer that was cut goes on where it ended
                question = {"ask": "history", "series": "*", "stream": stream, "points": points}
                try:
                    answer = await ask(self._path, {**question, "from": begin, "to": end}, timeout_s=60.0)
                except ValueError:  # longer than a line may be: that sparkline begins now, and the live side goes on
                    picture.left["answers"] += 1
                    break
                lines = answer.get("records", [])
                for line in lines:
                    picture.window(self._gateway, line)
                begin = _further(begin, lines) if answer.get("truncated") else ""

    async def history(self, gateway: str, *, question: Mapping[str, Any]) -> dict[str, Any]:
        """From the journal. Raises `NoHistory` while the daemon is away or where it refuses."""
        if gateway != self._gateway:
            raise NoHistory("this page shows one gateway alone")
        try:
            answer = await ask(self._path, {"ask": "history", **question}, timeout_s=30.0)
        except (OSError, TimeoutError) as error:
            raise NoHistory(str(error) or "the daemon does not answer") from None
        except ValueError:
            raise NoHistory("the daemon's answer is too long; ask for a shorter time") from None
        if "error" in answer:
            raise NoHistory(str(answer["error"].get("fact", "")))
        return answer

    async def steer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The daemon's answer. Raises `NoSteering` where it refuses or is away."""
        try:
            answer = await ask(self._path, request, timeout_s=STEER_S)
        except (OSError, TimeoutError) as error:
            raise NoSteering(str(error) or "the daemon does not answer") from None
        if "error" in answer:
            raise NoSteering(str(answer["error"].get("fact", "")))
        return answer


def _further(begin: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Where a cut answer, oldest first, is to be continued; empty where it would only be given again."""
    last = str(lines[-1]["t"]) if lines else begin
    return last if last > begin else ""


def _first(errors: BaseExceptionGroup[BaseException]) -> str:
    """One sentence of a group of errors."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
