"""The Modbus master: the one owner of a wire. Reads only, functions 1 to 4.

What it promises: no late answer is taken for another one (the argument stands in `drivers.modbus.unit`); silence and
turnaround are kept; a dead unit costs at most `dead_share` of the wire's time; a timeout never closes a serial port; a
person's read goes before polls and never between a request and its answer. Retries and reconnecting are above.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import Final, Literal, TypeAlias

from drivers.errors import BadFrame, DeviceRefused, DriverError, LinkError, NoReply, ReplyError
from drivers.line import LineSettings
from drivers.link import DirectLink, Link, SerialLink
from drivers.modbus.counters import WireCounters
from drivers.modbus.envelope import Request, build, shape_of
from drivers.modbus.hunt import Frame
from drivers.modbus.plan import REPLY_S
from drivers.modbus.rtu import RtuWire
from drivers.modbus.tcp import TcpWire
from drivers.modbus.turns import Priority, Turns
from drivers.modbus.unit import DEAD_SHARE, Unit
from drivers.modbus.wire import Answer, Refusal, Wire
from drivers.profile import Limits

__all__ = ["Answer", "Master", "Priority", "WireCounters"]

_Key: TypeAlias = tuple[int, str, int, int]
REQUESTS: Final = 4096
SLICE_S: Final = 0.05
LINGER_S: Final = 3.0
LINGER_SLICE_S: Final = 0.01
PROBE_S: Final = 0.1  # what a request in vain takes beside the wait: itself, silence, the adapter's delay
NO_LIMITS: Final = Limits()


class Master:
    """One wire, its units, and whose turn it is.

    Args:
        link: the way to the wire, closed; the master opens it and is its only user.
        framing: "rtu" (serial, or a transparent converter) or "tcp" (Modbus TCP, one connection for all units).
        line: settings of the serial line; taken from a `SerialLink`.
        echo: the adapter repeats requests (see `RtuWire`).
        dead_share: share of the wire's time that units without an answer may cost together.
    """

    def __init__(
        self,
        link: Link,
        *,
        framing: Literal["rtu", "tcp"] = "rtu",
        line: LineSettings | None = None,
        echo: bool = False,
        dead_share: float = DEAD_SHARE,
    ) -> None:
        self.endpoint = link.endpoint
        self._port = link if isinstance(link, SerialLink) else None
        self.line = link.line if line is None and isinstance(link, SerialLink) else line
        self.dead_share = dead_share
        self._char_s = self.line.char_s if self.line is not None and framing == "rtu" else 0.0
        self._wire = _wire(self, link, framing=framing, echo=echo)
        self._turns = Turns()
        self._units: dict[int, Unit] = {}
        self._requests: dict[_Key, tuple[Request, Unit, Limits]] = {}

    async def open(self) -> None:
        """Open the link. Raises `LinkError`."""
        await self._wire.open()

    async def close(self) -> None:
        """Close the link, on RTU not before late answers are out of the way; what units owe is remembered.

        Whoever opens the wire next knows nothing of debts. At most `LINGER_S`.
        """
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + LINGER_S
        try:
            with suppress(LinkError):
                while isinstance(self._wire, RtuWire) and loop.time() < min(give_up_s, self._owed_until_s()):
                    await self._wire.look()
                    await asyncio.sleep(LINGER_SLICE_S)
        finally:
            await self._wire.close()

    def _owed_until_s(self) -> float:
        return max((unit.closed_until_s for unit in self._units.values() if unit.debts), default=0.0)

    async def read(
        self,
        unit: int,
        table: str,
        *,
        address: int,
        count: int,
        limits: Limits = NO_LIMITS,
        priority: Priority = Priority.POLL,
        patience_s: float = 0.0,
        until_s: float = inf,
    ) -> Answer:
        """The bytes of `count` registers (two each) or bits (eight each, low bit first) from `address` (0-based).

        A unit in quarantine, or resting because it did not answer, is not asked: `NoReply` comes at once, unless it
        may be asked again within `patience_s`, which is then waited for without holding the wire. A person's read does
        not wait for the end of a rest. No answer is waited for beyond `until_s` (loop time).

        Raises:
            NoReply: no answer that counts, or not asked; BadFrame: an answer that no checksum or length vouches for.
            DeviceRefused: an exception answer, with its code.
            LinkError: the link is gone or not open.
        """
        key = (unit, table, address, count)
        entry = self._requests.get(key)
        if entry is None or entry[2] is not limits:
            entry = self._prepare(key, limits)
        request, state, _ = entry
        turns, width = self._turns, limits.outstanding
        while True:
            if state.closed_until_s or state.not_before_s or state.debts:
                await self._admit(request, state, patience_s, priority)
            if turns.held >= width or turns.waiting:
                await turns.take(priority, limit=width)
            else:
                turns.held += 1
            try:
                if state.debts and width == 1:
                    if state.wait_s(request.shape, now_s=asyncio.get_running_loop().time(), person=True) > 0:
                        continue  # it fell silent while this read waited for its turn
                    await self._settle(request, state, until_s)
                return await self._ask(request, state, until_s)
            finally:
                turns.give()

    def held(self, unit: int, table: str, *, count: int) -> bool:
        """Whether a read of this shape is not sent now: the unit may still give an older answer of that shape."""
        state = self._units.get(unit)
        debt = None if state is None or not state.debts else state.debts.get(shape_of(table, count))
        return debt is not None and debt.held_until_s > asyncio.get_running_loop().time()

    def doubt_s(self, unit: int) -> float:
        """Seconds of the wire's time that the next read of `unit` may waste: 0 while it answers or is not asked."""
        state = self._units.get(unit)
        wait_s = 0.0 if state is None else state.doubt_s(asyncio.get_running_loop().time())
        return wait_s and wait_s + PROBE_S

    def reply_s(self, unit: int) -> float:
        """The usual reply time of `unit` (median of the last 64 answers), or that of a usual meter before the first."""
        state = self._units.get(unit)
        return REPLY_S if state is None or not state.replies_s else state.counters(0.0).reply_p50_s

    def receive_errors(self) -> tuple[int, int, int] | None:
        """As `SerialLink.receive_errors`; None also where the wire is no serial port."""
        return self._port.receive_errors() if self._port is not None else None

    def counters(self) -> WireCounters:
        """The figures now."""
        now_s = asyncio.get_running_loop().time()
        units = {number: unit.counters(now_s) for number, unit in sorted(self._units.items())}
        tally = self._wire.tally
        return WireCounters(
            transactions=sum(unit.transactions for unit in units.values()),
            answers=sum(unit.answers for unit in units.values()),
            timeouts=sum(unit.timeouts for unit in units.values()),
            crc=sum(unit.crc for unit in units.values()),
            refused=sum(unit.refused for unit in units.values()),
            late=tally.late,
            foreign=tally.foreign,
            junk_bytes=tally.junk_bytes,
            surplus_bytes=tally.surplus_bytes,
            babble=tally.babble,
            echoes=tally.echoes,
            probes=sum(unit.probes for unit in units.values()),
            busy_s=tally.busy_s,
            waiting=len(self._turns.waiting),
            units=units,
        )

    async def _ask(self, request: Request, state: Unit, until_s: float = inf) -> Answer:
        wire = self._wire
        timeout_s = state.patience_s
        if until_s < inf:
            timeout_s = min(
                timeout_s, until_s - asyncio.get_running_loop().time() - request.rtu_size_bytes * self._char_s
            )
            if timeout_s <= 0:
                raise NoReply(f"not asked: no time for unit {request.unit} now")
        state.transactions += 1
        owed = state.owes_function(request.function) if state.debts else False
        wire.sent_s = 0.0
        try:
            answer = await wire.exchange(request, timeout_s=timeout_s, owed=owed)
        except Refusal as refusal:
            state.refused += 1
            state.answered(refusal.reply_s, now_s=asyncio.get_running_loop().time())
            raise DeviceRefused(f"unit {request.unit}: {refusal.fact}", code=refusal.code) from None
        except (ReplyError, LinkError, asyncio.CancelledError) as error:
            if wire.sent_s:
                self._failed(request, state, error=error)
            raise
        state.answered(answer.reply_s, now_s=answer.t_first_s)
        return answer

    def _failed(self, request: Request, state: Unit, *, error: BaseException) -> None:
        """The request has left and its answer did not come: it is owed, and the unit perhaps not to be asked now."""
        sent_s = self._wire.sent_s
        told_apart = state.limits.outstanding > 1  # by transaction ids
        state.owe(request.shape, sent_s=sent_s, spent=told_apart or isinstance(error, BadFrame | LinkError))
        if isinstance(error, BadFrame):
            state.crc += 1
        elif isinstance(error, asyncio.CancelledError):
            state.quarantine(sent_s=sent_s)
        elif isinstance(error, NoReply):
            state.missed(sent_s=sent_s)
            if state.silent:
                now_s = asyncio.get_running_loop().time()
                dead = sum(unit.silent for unit in self._units.values())
                state.rest(now_s=now_s, dead=dead, dead_share=self.dead_share)

    async def _settle(self, request: Request, state: Unit, until_s: float) -> None:
        """As long as the unit owes an answer of this shape, ask for one of another shape first."""
        await self._wire.look()  # perhaps it came meanwhile
        if request.shape not in state.debts:
            return
        now_s = asyncio.get_running_loop().time()
        if not state.limits.retry or not state.probe_shapes(request):
            state.give_up(request.shape)
            return
        count = state.probe_count(request, now_s=now_s)
        if count is None:
            raise NoReply(f"not asked: unit {request.unit} still owes {len(state.debts)} answers")
        probe = build(request.unit, request.table, address=request.address, count=count)
        state.probes += 1
        with suppress(DeviceRefused):  # an answer all the same
            await self._ask(probe, state, until_s)
        if request.shape in state.debts:
            raise NoReply(f"not asked: unit {request.unit} still owes an answer of {request.byte_count} bytes")

    async def _admit(self, request: Request, state: Unit, patience_s: float, priority: Priority) -> None:
        """Wait until the unit may be asked; its late answer, if it comes, ends the quarantine at once.

        Raises:
            NoReply: that would take longer than `patience_s`.
        """
        loop = asyncio.get_running_loop()
        shape, person = request.shape, priority is Priority.PERSON
        give_up_s = loop.time() + patience_s
        while (wait_s := state.wait_s(shape, now_s=loop.time(), person=person)) > 0:
            if not self._turns.held:
                self._turns.held += 1
                try:
                    await self._wire.look()
                finally:
                    self._turns.give()
                wait_s = state.wait_s(shape, now_s=loop.time(), person=person)
            if loop.time() + wait_s > give_up_s:
                why = "rests" if state.silent else "is in quarantine"
                raise NoReply(f"not asked: unit {state.number} {why} for another {wait_s:.1f} s")
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, SLICE_S))
        pause_s = state.not_before_s - loop.time()
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    def _prepare(self, key: _Key, limits: Limits) -> tuple[Request, Unit, Limits]:
        number, table, address, count = key
        request = build(number, table, address=address, count=count)
        state = self._units.get(number)
        if state is None:
            state = self._units[number] = Unit(number, limits)
        elif limits is not NO_LIMITS:
            state.adopt(limits)
        state.remember(request.shape)
        if len(self._requests) >= REQUESTS:
            self._requests.clear()
        entry = self._requests[key] = request, state, limits
        return entry

    def hear(self, frame: Frame, t_s: float) -> bool:
        """A whole frame that was not the wanted answer, at `t_s`; true if it was an answer that came late."""
        state = self._units.get(frame.unit)
        return state is not None and state.came_late(frame.shape, code=frame.code, t_s=t_s)


def _wire(master: Master, link: Link, *, framing: str, echo: bool) -> Wire:
    if framing == "rtu":
        return RtuWire(link, line=master.line, stray=master.hear, echo=echo)
    if framing != "tcp":
        raise DriverError(f"framing {framing!r} is not one of tcp, rtu")
    if not hasattr(link, "listen"):
        raise DriverError("Modbus TCP needs a link that can be listened to")
    return TcpWire(_direct(link), stray=master.hear)


def _direct(link: Link) -> DirectLink:
    return link  # type: ignore[return-value]  # `listen` was checked
