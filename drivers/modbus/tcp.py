"""Modbus TCP on a connection: transaction ids, several requests outstanding, answers handed to their owners at once.

An answer counts only when its transaction id is open and protocol id, length, unit, function and byte count hold
(V1.1b3 and MODBUS Messaging on TCP/IP V1.0b). A stream that stops being MBAP cannot be trusted again: the connection is
given up (`LinkLost`), reconnecting is its owner's business.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from drivers.errors import BadFrame, LinkLost, NoReply
from drivers.link import DirectLink
from drivers.modbus.envelope import MAX_ADU_BYTES, Frame, Request, tcp_data
from drivers.modbus.wire import Answer, Refusal, Stray, Tally

LATE_IDS: Final = 256
_HEAD_BYTES: Final = 6
_SHORTEST: Final = 3  # unit, function, exception code


class _Open:
    """A request on its way."""

    __slots__ = ("deadline_s", "future", "request", "sent_s")

    def __init__(self, request: Request, future: asyncio.Future[Answer], *, sent_s: float, deadline_s: float) -> None:
        self.request = request
        self.future = future
        self.sent_s = sent_s
        self.deadline_s = deadline_s


class TcpWire:
    """The TCP side of a master. One timer serves all deadlines of the connection."""

    def __init__(self, link: DirectLink, *, stray: Stray) -> None:
        self.tally = Tally()
        self.sent_s = 0.0
        self._link = link
        self._stray = stray
        self._open: dict[int, _Open] = {}
        self._late: OrderedDict[int, Request] = OrderedDict()
        self._id = 0
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: LinkLost | None = None
        self._busy_since_s = 0.0

    async def open(self) -> None:
        """Connect; transaction ids of an older connection mean nothing here."""
        await self._link.open()
        self._loop = asyncio.get_running_loop()
        self._late.clear()
        self._rest = b""
        self._lost = None
        self._link.listen(on_data=self._received, on_lost=self._ended)

    async def close(self) -> None:
        """Close the connection; requests on their way fail with `LinkLost`."""
        self._ended(LinkLost("closed", endpoint=self._link.endpoint))
        await self._link.close()

    async def look(self) -> None:
        """Nothing to do: what arrives is looked at when it arrives."""

    async def exchange(self, request: Request, *, timeout_s: float, owed: bool) -> Answer:
        """As `Wire.exchange`."""
        loop = self._loop
        if loop is None or self._lost is not None:
            fact = "not connected" if self._lost is None else self._lost.fact
            raise LinkLost(fact, endpoint=self._link.endpoint)
        number = self._id = (self._id + 1) & 0xFFFF
        while number in self._open:
            number = self._id = (self._id + 1) & 0xFFFF
        self._link.send(number.to_bytes(2, "big") + request.mbap)
        self.sent_s = now_s = loop.time()
        tally = self.tally
        tally.transactions += 1
        if not self._open:
            self._busy_since_s = now_s
        future: asyncio.Future[Answer] = loop.create_future()
        self._open[number] = _Open(request, future, sent_s=now_s, deadline_s=now_s + timeout_s)
        if self._timer is None or self._timer.when() > now_s + timeout_s:
            self._arm(now_s + timeout_s)
        try:
            return await future
        except asyncio.CancelledError:
            self._drop(number)
            raise

    def _received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, size = 0, len(data)
        while size - at >= _HEAD_BYTES:
            length = data[at + 4] << 8 | data[at + 5]
            if data[at + 2] or data[at + 3] or not _SHORTEST <= length <= MAX_ADU_BYTES - _HEAD_BYTES:
                self.tally.junk_bytes += size - at
                self._ended(LinkLost("the peer does not speak Modbus TCP", endpoint=self._link.endpoint))
                return
            end = at + _HEAD_BYTES + length
            if end > size:
                break
            self._adu(data if at == 0 and end == size else data[at:end])
            at = end
        self._rest = data[at:] if at < size else b""

    def _adu(self, adu: bytes) -> None:
        number = adu[0] << 8 | adu[1]
        opened = self._open.pop(number, None)
        loop = self._loop
        if loop is None:
            return
        now_s = loop.time()
        if opened is None:
            self._unexpected(number, adu, now_s)
            return
        if not self._open:
            self.tally.busy_s += now_s - self._busy_since_s
        if opened.future.done():
            return
        said = tcp_data(opened.request, adu)
        if isinstance(said, bytes):
            opened.future.set_result(Answer(said, now_s, now_s - opened.sent_s))
        elif isinstance(said, int):
            opened.future.set_exception(Refusal(said, now_s - opened.sent_s))
        else:
            self.tally.foreign += 1
            opened.future.set_exception(BadFrame("an answer of another unit, function or length", seen=adu))

    def _unexpected(self, number: int, adu: bytes, now_s: float) -> None:
        request = self._late.pop(number, None)
        said = tcp_data(request, adu) if request is not None else None
        if request is None or said is None:
            self.tally.foreign += 1
            return
        self.tally.late += 1
        code, data = (said, b"") if isinstance(said, int) else (0, said)
        shape = (request.function, 0 if code else request.byte_count)
        self._stray(Frame(request.unit, shape, code, data), now_s)

    def _drop(self, number: int) -> _Open | None:
        opened = self._open.pop(number, None)
        if opened is not None:
            self._late[number] = opened.request
            if len(self._late) > LATE_IDS:
                self._late.popitem(last=False)
            if not self._open and self._loop is not None:
                self.tally.busy_s += self._loop.time() - self._busy_since_s
        return opened

    def _arm(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._loop is None else self._loop.call_at(when_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        now_s = self._loop.time()
        for number in [number for number, opened in self._open.items() if opened.deadline_s <= now_s]:
            opened = self._drop(number)
            if opened is not None and not opened.future.done():
                opened.future.set_exception(NoReply(f"unit {opened.request.unit} did not answer"))
        if self._open:
            self._arm(min(opened.deadline_s for opened in self._open.values()))

    def _ended(self, lost: LinkLost) -> None:
        self._lost = self._lost or lost
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        opened, self._open = self._open, {}
        for one in opened.values():
            if not one.future.done():
                one.future.set_exception(lost)
