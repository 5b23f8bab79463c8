"""A register device: a profile, a unit and a master make samples.

A poll reads all blocks and keeps every block that was read; points of a failed block are NaN with the code of the
failure, never 0 and never the last value. A block refused for an illegal address is bisected, a few reads in each
poll: the values at fault are remembered and left out of later plans, and the rest of the block is kept; they are asked
again after a minute, and then ever more seldom, because a device that starts up refuses what it will have later. Plans
follow the unit's real reply time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nan
from operator import itemgetter
from typing import Any, Final

from drivers.device import Finding
from drivers.errors import BadFrame, DeviceRefused, NoReply, ProfileError
from drivers.modbus.bisect import Search, cuts, narrowed
from drivers.modbus.decode import BlockDecoder
from drivers.modbus.identity import Fetched, hold, number_of
from drivers.modbus.master import Answer, Master, Priority
from drivers.modbus.plan import REPLY_S, Block, Cost, cost, plan
from drivers.profile import Profile, Row, where
from drivers.sample import Code, Sample

ILLEGAL: Final = (2, 3)
GATEWAY: Final = (10, 11)
LESSONS: Final = 3
LESSON_S: Final = 0.25  # of each poll, for bisecting
RETRIES: Final = 1
AGAIN_S: Final = 60.0  # what was refused is asked again after that, then ever more seldom: it may have been starting up
SELDOM_S: Final = 21600.0
REPLAN_S: Final = 30.0  # a plan costs as much as dozens of quick polls, and reply times of milliseconds jump about
REPLAN: Final = 1.5  # how far the learned reply time must be from the one planned with, as a factor


class RegisterDevice:
    """One Modbus device that is polled. Implements `drivers.device.Addressed`.

    Args:
        master: the owner of its wire, opened and closed by whoever owns it.
        profile: what to read. unit: its address on the wire.
        price: cost model of the wire for the planner; by default that of the master's line.
        patience_s: how long a poll may wait for a unit in quarantine (0: its points fail at once, the wire is free).
        priority: whose reads go first.
        parts: which lanes or channels the device has, the whole sensor ("") first.

    Raises:
        ProfileError: the profile has no registers, or cannot be read within its own limits.
    """

    def __init__(
        self,
        master: Master,
        profile: Profile,
        *,
        unit: int,
        price: Cost | None = None,
        patience_s: float = 0.0,
        priority: Priority = Priority.POLL,
        parts: Sequence[str] = ("", "lane1", "ch1"),
    ) -> None:
        if not profile.by_registers:
            raise ProfileError(f"profile {profile.id} does not describe registers")
        self.profile = profile
        self.unit = unit
        self._master = master
        self._patience_s = patience_s
        self._priority = priority
        self._until_s = inf
        self._learns_price = price is None
        self._reply_s = REPLY_S
        self._price = price or cost(master.line, profile.limits)
        self._again_s = AGAIN_S
        self._forget_s = inf
        self._replan_s = 0.0
        self._parts = _parts(profile, parts)
        self._rows: tuple[Row, ...] = tuple(row for _, rows in self._parts for row in rows)
        self._wheres = tuple(where(row.read or "") for row in self._rows)
        self._limits = profile.limits
        self._bad: set[int] = set()
        self._lessons = LESSONS
        self._search: Search | None = None
        self._lay_out()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The reads of one poll."""
        return tuple(block for block, _ in self._blocks)

    @property
    def refused(self) -> tuple[str, ...]:
        """Reads (as in the profile's rows) that the device refuses for good, found by bisecting a refused block."""
        return tuple(self._rows[n].read or "" for n in sorted(self._bad))

    def forget(self) -> None:
        """Ask for everything again: the device was replaced or restarted."""
        self._bad.clear()
        self._limits = self.profile.limits
        self._lessons = LESSONS
        self._search = None
        self._forget_s = inf
        self._lay_out()

    async def poll(self) -> tuple[Sample, ...]:
        """One poll: all blocks, one sample per part; marks what failed. Retries once after a spoiled frame.

        Raises:
            LinkError: the wire is gone.
        """
        self._rethink(asyncio.get_running_loop().time())
        samples, illegal = await self._round()
        if not illegal:
            self._search = None
        elif self.profile.limits.retry and await self._learn(illegal):
            samples, _ = await self._round()
        return samples

    def plan_s(self) -> float:
        """As `Addressed.plan_s`."""
        return self._plan_s

    async def poll_now(self) -> tuple[Sample, ...]:
        """As `Addressed.poll_now`."""
        usual, self._priority = self._priority, Priority.PERSON
        try:
            return await self.poll()
        finally:
            self._priority = usual

    async def poll_within(self, limit_s: float) -> tuple[Sample, ...]:
        """As `Addressed.poll_within`."""
        self._until_s = asyncio.get_running_loop().time() + limit_s
        try:
            return await self.poll()
        finally:
            self._until_s = inf

    def doubt_s(self) -> float:
        """As `Addressed.doubt_s`."""
        return self._master.doubt_s(self.unit)

    async def identify(self) -> tuple[Finding, ...]:
        """All fingerprints of the profile held against the device and its serial number, one read each, as polls.

        Raises:
            LinkError: the wire is gone.
        """
        serial = self.profile.serial
        number = () if serial is None else (await number_of(self._fetch, serial),)
        return (*[await hold(self._fetch, mark) for mark in self.profile.fingerprint], *number)

    def _rethink(self, now_s: float) -> None:
        """Plan anew where what was learned is old, or the unit answers much faster or slower than was planned with."""
        if now_s >= self._forget_s:
            self._again_s = min(4 * self._again_s, SELDOM_S)
            self.forget()
        if now_s < self._replan_s or not self._learns_price:
            return
        self._replan_s = now_s + REPLAN_S
        reply_s = max(0.001, self._master.reply_s(self.unit))
        if not 1 / REPLAN <= reply_s / self._reply_s <= REPLAN:
            self._reply_s = reply_s
            self._price = cost(self._master.line, self.profile.limits, reply_s=reply_s)
            self._lay_out()

    async def _round(self) -> tuple[tuple[Sample, ...], list[Block]]:
        values: list[float] = []
        codes: list[int] = []
        illegal: list[Block] = []
        first_s: float | None = None
        retries = RETRIES if self.profile.limits.retry else 0
        ahead = await self._ahead() if self.profile.limits.outstanding > 1 else None
        for n, (block, decoder) in enumerate(self._blocks):
            got = await self._fetch_around(block) if ahead is None else ahead[n]
            if got is Code.CRC and retries:
                retries -= 1
                got = await self._fetch(block)
            if isinstance(got, Answer):
                first_s = got.t_first_s if first_s is None else first_s
                numbers, marks = decoder.decode(got.data)
                values += numbers
                codes += marks
                continue
            if got is None:
                illegal.append(block)
            values += [nan] * len(block.values)
            codes += [int(got or Code.EXCEPTION)] * len(block.values)
        values += [nan] * len(self._bad)
        codes += [int(Code.EXCEPTION)] * len(self._bad)
        if first_s is None:
            first_s = asyncio.get_running_loop().time()
        return self._samples(values, codes, t_mono_ns=round(first_s * 1e9)), illegal

    async def _ahead(self) -> list[Fetched]:
        """All blocks at once; the master keeps to the device's number of outstanding requests."""
        return await asyncio.gather(*[self._fetch(block) for block, _ in self._blocks])

    async def _fetch_around(self, block: Block) -> Fetched:
        """As `_fetch`; where the device still owes an answer of that length, in two reads of other lengths."""
        if not self._master.held(self.unit, block.table, count=block.count):
            return await self._fetch(block)
        for first, second in cuts(block, self._wheres, limits=self._limits):
            if not any(self._master.held(self.unit, part.table, count=part.count) for part in (first, second)):
                head = await self._fetch(first)
                tail = await self._fetch(second) if isinstance(head, Answer) else head
                if isinstance(head, Answer) and isinstance(tail, Answer):
                    return head._replace(data=head.data + tail.data)
                return tail
        return await self._fetch(block)

    async def _fetch(self, block: Block) -> Fetched:
        """The block's answer, or the code of its failure; None where the device knows no such address."""
        try:
            return await self._master.read(
                self.unit,
                block.table,
                address=block.address,
                count=block.count,
                limits=self.profile.limits,
                priority=self._priority,
                patience_s=self._patience_s,
                until_s=self._until_s,
            )
        except NoReply:
            return Code.TIMEOUT
        except BadFrame:
            return Code.CRC
        except DeviceRefused as refusal:
            if refusal.code in ILLEGAL:
                return None
            return Code.TIMEOUT if refusal.code in GATEWAY else Code.EXCEPTION

    def _samples(self, values: list[float], codes: list[int], *, t_mono_ns: int) -> tuple[Sample, ...]:
        if self._pick is not None:
            numbers, marks = self._pick(values), self._pick(codes)
        else:
            numbers, marks = tuple(values), tuple(codes)
        if len(self._parts) == 1:
            return (Sample(t_mono_ns, numbers, marks, self._parts[0][0]),)
        samples: list[Sample] = []
        begin = 0
        for part, rows in self._parts:
            end = begin + len(rows)
            samples.append(Sample(t_mono_ns, numbers[begin:end], marks[begin:end], part))
            begin = end
        return tuple(samples)

    def _lay_out(self) -> None:
        """Plan the rows that the device has; `_pick` puts values read back into the order of the rows."""
        wanted = [n for n in range(len(self._rows)) if n not in self._bad]
        blocks = plan([self._wheres[n] for n in wanted], self._limits, price=self._price)
        own = tuple(replace(block, values=tuple(wanted[n] for n in block.values)) for block in blocks)
        self._blocks = tuple((block, BlockDecoder(block, [self._rows[n] for n in block.values])) for block in own)
        usual = cost(self._master.line, self.profile.limits)
        self._plan_s = sum(usual.of(block.data_bytes) for block in own)
        arrived = [n for block in own for n in block.values] + sorted(self._bad)
        place = {n: at for at, n in enumerate(arrived)}
        order = [place[n] for n in range(len(self._rows))]
        self._pick: Callable[[list[Any]], tuple[Any, ...]] | None = None
        if order != sorted(order):
            self._pick = itemgetter(*order)

    async def _learn(self, illegal: Sequence[Block]) -> bool:
        """Bisect refused blocks a little further; true once something was learned, and the next round will differ."""
        now_s = asyncio.get_running_loop().time()
        search = self._search
        if search is None:
            if not self._lessons:
                return False
            self._lessons -= 1
            search = self._search = Search(illegal, wheres=self._wheres, limits=self._limits)
        spare_s = self._until_s - 2 * self._master.reply_s(self.unit)
        known = await search.go_on(self._fetch, until_s=min(now_s + LESSON_S, spare_s))
        if known or search.failed:
            self._search = None
            self._forget_s = now_s + self._again_s
        return known and self._adopt(search.bad)

    def _adopt(self, bad: set[int]) -> bool:
        """Leave the values at fault out, or, where there are none, read no holes; false if nothing is remembered.

        Where every single value is refused the device is not itself: it may be starting up, and is asked again later.
        """
        if len(self._bad | bad) == len(self._rows):
            self._lessons = 0
            return False
        self._bad |= bad
        self._limits = narrowed(self._limits, bad, wheres=self._wheres, all_bad=self._bad)
        self._lay_out()
        return True


def _parts(profile: Profile, parts: Sequence[str]) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """The parts that the profile has rows for, with their rows (a row's `stride` moves it from lane to lane)."""
    found = [(part, profile.rows_of(part)) for part in parts]
    return tuple((part, rows) for part, rows in found if rows)
