"""RTU on a wire, serial or behind a transparent TCP converter: silence, one request at a time, the hunt for its answer.

The silence of 3.5 characters before a request is kept, never skipped, measured from the last byte that came or went.
After a wrong checksum the wire is left alone until it has been silent for 50 ms (devices.md 2.7).
"""

from __future__ import annotations

import asyncio
from typing import Final

from drivers.errors import BadFrame, LinkLost, NoReply
from drivers.line import LineSettings
from drivers.link import Link, TcpLink
from drivers.modbus.envelope import Request
from drivers.modbus.hunt import Frame, RtuHunt, RtuIdle
from drivers.modbus.wire import SILENT_REQUESTS, Answer, Refusal, Stray, Tally

DRAIN_S: Final = 0.05
ADAPTER_S: Final = 0.02  # a USB adapter may hold bytes back for 16 ms (devices.md 1.2)
BABBLE_S: Final = 1.0
SHORTEST_BYTES: Final = 5  # fewer are the noise of a line that nobody drives (devices.md 1.3)


class RtuWire:
    """The RTU side of a master.

    Args:
        link: an open way to the wire; this object is its only user.
        line: settings of the line; None where bytes cost no time (a TCP converter keeps the line's times itself).
        stray: told of every whole frame that is not the wanted answer.
        echo: the adapter repeats what is sent; needed for coils only, elsewhere an echo is recognised by itself.
    """

    def __init__(self, link: Link, *, line: LineSettings | None, stray: Stray, echo: bool = False) -> None:
        self._unanswered = 0
        self._silent_limit = SILENT_REQUESTS if isinstance(link, TcpLink) else 0
        self.tally = Tally()
        self.sent_s = 0.0
        self._link = link
        self._stray = stray
        self._echo = echo
        self._char_s = line.char_s if line is not None else 0.0
        self._t35_s = line.t35_s if line is not None else 0.0
        self._quiet_since_s = 0.0
        self._idle = RtuIdle()

    async def open(self) -> None:
        """Open the link; the silence begins now."""
        await self._link.open()
        self._unanswered = 0
        self._quiet_since_s = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Close the link."""
        await self._link.close()

    async def exchange(self, request: Request, *, timeout_s: float, owed: bool) -> Answer:
        """As `Wire.exchange`."""
        loop = asyncio.get_running_loop()
        await self._silence()
        begin_s = loop.time()
        await self._link.write(request.rtu)
        self.sent_s = self._quiet_since_s = loop.time() + len(request.rtu) * self._char_s
        deadline_s = self.sent_s + timeout_s + request.rtu_size_bytes * self._char_s + ADAPTER_S
        hunt = RtuHunt(request, echo=self._echo)
        try:
            answer = await self._hunt(hunt, deadline_s=deadline_s, owed=owed)
        except NoReply:
            self._unanswered += 1
            if self._unanswered == self._silent_limit:
                fact = f"no answer to {self._unanswered} requests in a row"
                raise LinkLost(fact, endpoint=self._link.endpoint) from None
            raise
        else:
            self._unanswered = 0
            return answer
        finally:
            self._account(hunt)
            self.tally.busy_s += loop.time() - begin_s + self._t35_s

    async def look(self) -> None:
        """Take what has arrived since the last exchange; late answers among it are told."""
        self._listen(*await self._link.read(0))

    def _listen(self, data: bytes, t_s: float) -> None:
        """Something is heard that nobody waits for: a frame cut by an adapter is given time to end."""
        if not data:
            return
        frames, junk = self._idle.feed(data, t_s)
        self._told(frames)
        self.tally.junk_bytes += junk
        gap_s = ADAPTER_S if self._char_s and self._idle.unfinished else 0.0
        self._quiet_since_s = asyncio.get_running_loop().time() + gap_s

    async def _hunt(self, hunt: RtuHunt, *, deadline_s: float, owed: bool) -> Answer:
        loop = asyncio.get_running_loop()
        while True:
            wait_s = max(0.0, deadline_s - loop.time())  # at 0 once more: what came while this process was busy counts
            data, t_s = await self._link.read(min(wait_s, DRAIN_S) if hunt.spoiled and not hunt.pending else wait_s)
            if not data:
                break
            self._quiet_since_s = loop.time()
            found = hunt.feed(data, t_s)
            while found:
                answer = self._judge(hunt, owed=owed)
                if answer is not None:
                    return answer
                found = hunt.resume()
            if not wait_s:
                break
        if hunt.last_look():
            answer = self._judge(hunt, owed=owed)
            if answer is not None:
                return answer
        raise _failure(hunt)

    def _judge(self, hunt: RtuHunt, *, owed: bool) -> Answer | None:
        """The answer found; None for an exception answer that pays an older debt. Raises `Refusal`."""
        frame = hunt.frame
        if frame is None:
            return None
        t_first_s = hunt.time_at(hunt.start)
        reply_s = max(0.0, t_first_s - self.sent_s)
        if not frame.code:
            return Answer(frame.data, t_first_s, reply_s)
        if owed and self._stray(frame, t_first_s):
            self.tally.late += 1
            return None
        raise Refusal(frame.code, reply_s)

    async def _silence(self) -> None:
        """Wait until nothing has been heard for 3.5 characters; what is heard is looked at for late answers.

        Raises:
            BadFrame: somebody talks without end.
        """
        loop = asyncio.get_running_loop()
        await self.look()
        give_up_s = loop.time() + BABBLE_S
        while (wait_s := self._quiet_since_s + self._t35_s - loop.time()) > 0:
            heard, t_s = await self._link.read(wait_s)
            self._listen(heard, t_s)
            if heard and loop.time() > give_up_s:
                self.tally.babble += 1
                raise BadFrame(f"the line was not silent for {BABBLE_S:g} s", seen=heard)
        self.tally.junk_bytes += self._idle.forget()

    def _account(self, hunt: RtuHunt) -> None:
        if hunt.echoed:
            self.tally.echoes += 1
        alone = hunt.frame is not None and hunt.start == 0 and len(hunt.seen) == hunt.end
        if alone or not hunt.seen:
            return
        frames, junk, surplus = hunt.others()
        self.tally.junk_bytes += max(0, junk - len(hunt.request.rtu)) if hunt.echoed else junk
        self.tally.surplus_bytes += surplus
        self._told(frames)

    def _told(self, frames: list[tuple[Frame, float]]) -> None:
        for frame, t_s in frames:
            if self._stray(frame, t_s):
                self.tally.late += 1
            else:
                self.tally.foreign += 1


def _failure(hunt: RtuHunt) -> NoReply | BadFrame:
    seen = bytes(hunt.seen[:300])
    unit = hunt.request.unit
    if hunt.spoiled:
        return BadFrame(f"the answer of unit {unit} came with a wrong checksum", seen=seen)
    if hunt.pending:
        return BadFrame(f"the answer of unit {unit} was cut short", seen=seen)
    _, junk, _ = hunt.others()
    if junk - (len(hunt.request.rtu) if hunt.echoed else 0) >= SHORTEST_BYTES:
        return BadFrame(f"no frame in what came when unit {unit} was asked", seen=seen)
    return NoReply(f"unit {unit} did not answer", seen=seen)
