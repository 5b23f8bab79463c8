"""What the local socket may ask of a running gateway beyond looking: read one device now, drain at the end of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from drivers.errors import LinkBusy, LinkError
from gateway.health import Health, record_line
from gateway.lending import LONGEST_S, same
from gateway.order import Order, OrderGoesOn, progress
from gateway.pipeline import Pipeline
from gateway.poller import PolledWire, Station, Wire
from gateway.reading import Series
from gateway.shipper import Shipper

READ_S: Final = 10.0
DRAIN_S: Final = 10.0
LOOK_S: Final = 0.05


class Steering:
    """Answers questions; `rest` stops polling and commits."""

    def __init__(
        self,
        *,
        wires: tuple[Wire, ...],
        shippers: tuple[Shipper, ...],
        pipeline: Pipeline,
        health: Health,
        rest: Callable[[], Awaitable[None]],
        history: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._wires = wires
        self._shippers = shippers
        self._pipeline = pipeline
        self._health = health
        self._rest = rest
        self._history = history

    async def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One JSON object for another."""
        match request:
            case {"ask": "read", "device": str(device)}:
                return await self._read(device)
            case {"ask": "drain"}:
                await self.drain()
                return {"sinks": dict(self._health.sinks())}
            case {"ask": "health"}:
                return self._health.report()
            case {"ask": "lend", "bus": str(), "for_s": float() | int() as for_s}:
                return await self._lend(request, for_s=float(min(max(for_s, 0), LONGEST_S)))
            case {"ask": "history" | "replay" as ask}:
                return self._replay(request) if ask == "replay" else await self._history(request)
        return {"error": {"code": "CG-SYS-04", "fact": "the daemon does not know this question"}}

    async def drain(self, limit_s: float = DRAIN_S) -> None:
        """Stop polling and wait until no sink has anything waiting, at most `limit_s`."""
        await self._rest()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        while any(shipper.lanes.ledger.waiting for shipper in self._shippers) and loop.time() < until_s:
            await asyncio.sleep(LOOK_S)
        await self._rest()

    async def once(self, series: Sequence[Series], *, end: Callable[[], None]) -> int:
        """Wait until every polled series has given a record (at most three periods), drain, end; 1 if not all did."""
        wanted = {one.id for one in series if one.every_ms}
        longest_s = max((one.every_ms or 0 for one in series), default=0) / 1000
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 3.0 * longest_s + 5.0
        while (missing := wanted - {device for device, _ in self._pipeline.seen}) and loop.time() < until_s:
            await asyncio.sleep(LOOK_S)
        await self.drain()
        end()
        return 1 if missing else 0

    async def _read(self, device: str) -> Mapping[str, Any]:
        for wire in self._wires:
            for station in wire.stations:
                if station.id == device:
                    return await self._read_station(wire, station)
        return {"error": {"code": "CG-CFG-09", "fact": f"no device is called {device!r}"}}

    def _replay(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin an order to send again (`from_ms`, `to_ms`, `unheard`, or `letters`), or `stop` the one that goes on.

        The answer says how far the order of this `number` is; without one, the last order.
        """
        sink = request.get("sink")
        shipper = next((one for one in self._shippers if one.name == sink), None)
        if shipper is None or shipper.replay is None:
            return {"error": {"code": "CG-AUD-03", "fact": f"no sink is called {sink!r}"}}
        try:
            match request:
                case {"stop": True}:
                    shipper.replay.stop()
                case {"letters": list(letters)}:
                    shipper.send_again(Order(letters=tuple(one for one in letters if type(one) is int)))
                case {"from_ms": int(from_ms), "to_ms": int(to_ms)}:
                    shipper.send_again(Order(from_ms, to_ms, unheard=bool(request.get("unheard"))))
        except OrderGoesOn as busy:
            return {"error": {"code": "CG-AUD-06", "fact": str(busy)}}
        wanted = request.get("number")
        orders = [one for one in shipper.replay.orders if wanted is None or one.number == wanted]
        return {"state": shipper.state, "fact": shipper.fact, **(progress(orders[-1]) if orders else {})}

    async def _lend(self, request: Mapping[str, Any], *, for_s: float) -> Mapping[str, Any]:
        """Keep off a wire for `for_s` seconds; 0 takes it back. It is closed when the answer leaves.

        The wire is the one behind `endpoint`, whatever it is called; without one, the `bus` of this name. `token` is
        that of a loan which is to last longer, or to end.
        """
        endpoint, bus, token = request.get("endpoint"), request["bus"], request.get("token", "")
        if isinstance(endpoint, str):
            wire = await self._behind(endpoint)
            if wire is None:
                return {"bus": "", "lent_s": 0.0}  # no wire of ours: whoever asks may use it
        else:
            wire = next((wire for wire in self._wires if wire.name == bus), None)
            if wire is None:
                return {"error": {"code": "CG-BUS-16", "fact": f"no bus is called {bus!r}"}}
        try:
            kept = await wire.loan.lend(for_s, token=str(token))
        except LinkBusy as busy:
            return {"error": {"code": "CG-BUS-19", "fact": f"the wire {wire.name}: {busy.fact}"}}
        if for_s > 0:
            await wire.way.close()
        return {"bus": wire.name, "lent_s": for_s, "token": kept}

    async def _behind(self, endpoint: str) -> Wire | None:
        for wire in self._wires:
            if await same(wire.way.endpoint, endpoint):
                return wire
        return None

    async def _read_station(self, wire: Wire, station: Station) -> Mapping[str, Any]:
        if isinstance(wire, PolledWire):
            try:
                await asyncio.wait_for(wire.ask(station), READ_S)
            except (LinkError, TimeoutError, asyncio.QueueFull) as error:
                return {"error": {"code": "CG-BUS-01", "fact": str(error) or "no time for this read on the wire"}}
        seen = [self._pipeline.seen.get((series.id, "raw")) for series in station.series.values()]
        return {"records": [record_line(record) for record in seen if record is not None]}
