"""Modbus TCP on a connection: transaction ids, several requests outstanding, answers handed to their owners at once.

An answer counts only when its transaction id is open and protocol id, length, unit, function and byte count hold
(V1.1b3 and MODBUS Messaging on TCP/IP V1.0b). A stream that stops being MBAP cannot be trusted again: the connection is
given up (`LinkLost`), reconnecting is its owner's business.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from math import inf
from typing import Final, TypeAlias

from drivers.errors import BadFrame, LinkLost, NoReply
from drivers.link import DirectLink
from drivers.modbus.envelope import MAX_ADU_BYTES, Request, tcp_data
from drivers.modbus.hunt import Frame
from drivers.modbus.wire import SILENT_REQUESTS, Answer, Refusal, Stray, Tally

LATE_IDS: Final = 256
_HEAD_BYTES: Final = 6
_SHORTEST: Final = 3  # unit, function, exception code


_Open: TypeAlias = tuple[Request, asyncio.Future[Answer], float, float]
"""A request on its way: itself, who waits, when it was sent, when it is too late (loop seconds)."""


class TcpWire:
    """The TCP side of a master. One timer serves all deadlines of the connection."""

    def __init__(self, link: DirectLink, *, stray: Stray) -> None:
        self.tally = Tally()
        self.sent_s = 0.0
        self._link = link
        self._stray = stray
        self._open: dict[int, _Open] = {}
        self._unanswered = 0
        self._late: OrderedDict[int, Request] = OrderedDict()
        self._id = 0
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = inf
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
        self._unanswered = 0
        self._link.listen(on_data=self._received, on_lost=self._ended)

    async def close(self) -> None:
        """Close the connection; requests on their way fail with `LinkLost`."""
        self._ended(LinkLost("closed", endpoint=self._link.endpoint))
        await self._link.close()

    async def look(self) -> None:
        """Nothing to do: what arrives is looked at when it arrives."""

    def exchange(self, request: Request, *, timeout_s: float, owed: bool) -> asyncio.Future[Answer]:
        """As `Wire.exchange`; the request has left when this returns."""
        loop = self._loop
        if loop is None or self._lost is not None:
            fact = "not connected" if self._lost is None else self._lost.fact
            raise LinkLost(fact, endpoint=self._link.endpoint)
        number = (self._id + 1) & 0xFFFF
        while number in self._open or number in self._late:
            number = (number + 1) & 0xFFFF
        self._id = number
        self._link.send(number.to_bytes(2, "big") + request.mbap)
        self.sent_s = now_s = loop.time()
        if not self._open:
            self._busy_since_s = now_s
        future: asyncio.Future[Answer] = loop.create_future()
        too_late_s = now_s + timeout_s
        self._open[number] = request, future, now_s, too_late_s
        if too_late_s < self._timer_s:
            self._arm(too_late_s)
        return future

    def _received(self, data: bytes) -> None:
        number = data[0] << 8 | data[1] if len(data) > 1 else 0
        opened = None if self._rest else self._open.get(number)
        if opened is not None and data.startswith(opened[0].answer, 2) and len(data) == 9 + opened[0].byte_count:
            self._answered(number, data, opened)  # the usual case: one whole answer that somebody waits for
        else:
            self._portion(data)

    def _answered(self, number: int, adu: bytes, opened: _Open) -> None:
        _, future, sent_s, _ = opened
        del self._open[number]
        self._unanswered = 0
        now_s = self._loop.time() if self._loop is not None else sent_s
        if not self._open:
            self.tally.busy_s += now_s - self._busy_since_s
        if not future.done():
            future.set_result(Answer(adu[9:], now_s, now_s - sent_s))

    def _portion(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
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
        if at < size:
            self._rest = data[at:]

    def _adu(self, adu: bytes) -> None:
        loop = self._loop
        if loop is None:
            return
        now_s = loop.time()
        self._unanswered = 0
        number = adu[0] << 8 | adu[1]
        opened = self._open.get(number)
        if opened is None:
            self._unexpected(number, adu, now_s)
            return
        request, future, sent_s, _ = opened
        said = tcp_data(request, adu)
        if isinstance(said, bytes):
            self._answered(number, adu, opened)
            return
        del self._open[number]
        if not self._open:
            self.tally.busy_s += now_s - self._busy_since_s
        if future.done():
            return
        if said is not None:
            future.set_exception(Refusal(said, now_s - sent_s))
        else:
            self.tally.foreign += 1
            future.set_exception(BadFrame("an answer of another unit, function or length", seen=adu))

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

    def _arm(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            self._timer, self._timer_s = self._loop.call_at(when_s, self._expire), when_s

    def _expire(self) -> None:
        self._timer, self._timer_s = None, inf
        if self._loop is None:
            return
        now_s = self._loop.time()
        for number in [number for number, opened in self._open.items() if opened[3] <= now_s]:
            self._unanswered += 1
            request, future, _, _ = self._open.pop(number)
            self._late[number] = request
            if len(self._late) > LATE_IDS:
                self._late.popitem(last=False)
            if not future.done():
                future.set_exception(NoReply(f"unit {request.unit} did not answer"))
        if self._rest:  # an answer that does not end: its length lies, and everything behind it would be swallowed
            self._ended(LinkLost("an answer of the peer does not end", endpoint=self._link.endpoint))
        elif self._unanswered >= SILENT_REQUESTS:
            fact = f"no answer to {self._unanswered} requests in a row"
            self._ended(LinkLost(fact, endpoint=self._link.endpoint))
        elif self._open:
            self._arm(min(opened[3] for opened in self._open.values()))
        else:
            self.tally.busy_s += now_s - self._busy_since_s

    def _ended(self, lost: LinkLost) -> None:
        self._lost = self._lost or lost
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_s = None, inf
        opened, self._open = self._open, {}
        for _, future, _, _ in opened.values():
            if not future.done():
                future.set_exception(LinkLost(lost.fact, endpoint=lost.endpoint))
