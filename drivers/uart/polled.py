"""Stream devices that are asked: one question, one answer of one or more frames.

A late answer must not be taken for the next one. What keeps them apart, in this order:
1. After a timeout the wire stays quiet until twice the timeout has passed since the question (`QUIET`); bytes that
   arrive meanwhile are read, counted as late and thrown away.
2. Before every question whatever was received is thrown away.
3. `Family.match` compares unit, sequence number or message id, where the protocol has them.
Undecidable remains an answer later than the quiet time, of a protocol without ids: it is then the same device's own
previous value, believed at most once, because the next answer finds it already thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from drivers.errors import BadFrame, DeviceRefused, NoReply, ReplyError
from drivers.link import Link, Tunable
from drivers.profile import Profile
from drivers.sample import Code, Sample
from drivers.uart.family import Facts, Family
from drivers.uart.registry import family
from drivers.uart.rows import Rows
from drivers.uart.stream import Ear, Figures, brief, remember

QUIET: Final = 2.0  # worst reply time, as a multiple of the profile's timeout
MOST_ASKED: Final = 32  # questions of one poll to a device that has more to tell
AGAIN: Final = 2  # how often a lost answer is asked for with the same count: one that can never be read must not stay
BETWEEN_S: Final = 0.1  # the first command may only have opened the sensor's eyes
STALE_PERIODS: Final = 2.0  # an interval not renewed for this many periods is stale


class Wire:
    """A link that several asked devices share: one question at a time, and the silence they owe each other."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.lock = asyncio.Lock()
        self.late_bytes = 0
        self.quiet_until_s = 0.0

    async def settle(self) -> None:
        """Wait until no late answer can come any more; throw away what does."""
        loop = asyncio.get_running_loop()
        self.late_bytes += len(self.link.flush())
        while (left_s := self.quiet_until_s - loop.time()) > 0:
            late, _ = await self.link.read(left_s)
            self.late_bytes += len(late)


class PolledStream:
    """A device that is asked (`speaks = "poll"`). Follows `drivers.device.Polled`.

    `unit` is its address on the wire. `parts` names lanes or channels expected to answer: they get failed samples
    when the device does not; parts that were heard once are added by themselves.
    `failure` says why the last poll failed, "" where the device answered.
    """

    def __init__(self, wire: Wire, profile: Profile, *, unit: int = 1, parts: Sequence[str] = ()) -> None:
        self.profile = profile
        self.unit = unit
        self.failure = ""
        self.longest_s = profile.limits.timeout_ms / 1000 * (1 + QUIET) + (profile.warmup_s if profile.duty else 0.0)
        self._wire = wire
        self._family: Family = family(profile.family)
        self._ear = Ear(self._family, profile.variant)
        self._rows = Rows(profile)
        self._parts = dict.fromkeys(parts)
        self.seen: dict[str, str] = {}  # as drivers.device.Remembering
        self._news: dict[str, str] = {}  # the same, of the samples in `_left`
        self._left: list[Sample] = []
        self._renewed_s: float | None = None
        self._started = False
        self._fast = True  # change of speed was not tried, or worked
        self._tuned = False
        self._count = 0
        self._lost = 0  # requests since the last whole answer
        self._samples = 0
        self._repeated = 0
        self._foreign = 0
        self._junk_bytes = 0

    @property
    def figures(self) -> Figures:
        """Counts since the start."""
        return Figures(
            frames=self._ear.frames,
            samples=self._samples,
            repeated=self._repeated,
            junk_bytes=self._junk_bytes + self._ear.framer.junk_bytes,
            foreign=self._foreign,
            late_bytes=self._wire.late_bytes,
            rejected=dict(self._ear.reasons),
        )

    async def poll(self) -> tuple[Sample, ...]:
        """One poll: one sample per part; none where the device has nothing new (no event, the same interval).

        What failed is marked: TIMEOUT (nothing came), CRC (only rejected bytes came), EXCEPTION (it refused).

        Raises:
            LinkError: the wire itself is gone.
        """
        async with self._wire.lock:
            await self._wake()
            for _ in range(MOST_ASKED):
                if not await (self._undisturbed() if self._family.queues else self._once()):
                    break
            for command in self._family.rest if self.profile.duty else ():
                await self._wire.link.write(command)
        return self.left()

    def left(self) -> tuple[Sample, ...]:
        """As `drivers.device.Unloading`: what was heard and not handed over; its names are in `seen` now."""
        samples, self._left = tuple(self._left), []
        for part, name in self._news.items():
            remember(self.seen, part, name=name)
        self._news.clear()
        self._samples += len(samples)
        return samples

    async def _once(self) -> bool:
        """Ask once, and keep what was told; whether the device has more to tell."""
        facts, t_s, error = await self._exchange()
        self._left += self._samples_of(facts, t_s, error=error)
        return error is None and self._family.more(facts)

    async def _undisturbed(self) -> bool:
        """As `_once`; when it is broken off, an answer that has left the device's queue is waited for."""
        once = asyncio.ensure_future(self._once())
        try:
            await asyncio.wait([once])
        except asyncio.CancelledError:
            await asyncio.wait([once], timeout=self._timeout_s)
            raise
        finally:
            once.cancel()
            await asyncio.gather(once, return_exceptions=True)
        return once.result()

    async def _wake(self) -> None:
        """Wake a device that sleeps between polls, and wait until its values are settled."""
        if self.profile.duty:
            for command in self._family.wake:
                await self._wire.link.write(command)
                await asyncio.sleep(BETWEEN_S)
            await asyncio.sleep(self.profile.warmup_s)
            self._started = False

    async def _exchange(self) -> tuple[list[Facts], float, ReplyError | None]:
        """Ask once. The facts that came, the time of the first byte (of giving up), and what failed."""
        loop = asyncio.get_running_loop()
        await self._wire.settle()
        self._junk_bytes += self._ear.framer.junk_bytes
        self._ear.framer = type(self._ear.framer)(self._family)
        await self._retune()
        if not self._started:
            await self._begin()
        if not (self._family.again and 0 < self._lost <= AGAIN):
            self._count, self._lost = self._count + 1, 0
        self._lost += 1  # until its answer is whole
        if self._family.ask is not None:
            await self._wire.link.write(self._family.ask(self.unit, self._count))
        answer = _Answer(asked_s=loop.time())
        try:
            await self._listen(answer)
        except ReplyError as error:
            self._started = self._started and isinstance(error, BadFrame)
            self._fast = self._fast and not self._tuned  # a meter or a head that garbles it is read slowly from now on
            self._wire.quiet_until_s = answer.asked_s + QUIET * self._timeout_s
            return answer.facts, loop.time() if answer.first_s is None else answer.first_s, error
        self._lost = 0
        return answer.facts, loop.time() if answer.first_s is None else answer.first_s, None

    async def _begin(self) -> None:
        """Send the family's start commands; their replies are heard and dropped."""
        for command in self._family.start:
            await self._wire.link.write(command)
            await self._wire.link.read(min(0.5, self._timeout_s))
            self._wire.link.flush()
        self._started = True

    async def _retune(self, baud: int | None = None) -> None:
        """Change the link's speed; without `baud`, back to that of the line."""
        link = self._wire.link
        if isinstance(link, Tunable) and (self._tuned or baud):
            await link.retune(baud or link.line.baud)
            self._tuned = baud is not None

    async def _reply(self, frame: bytes) -> None:
        link = self._wire.link
        faster = self._family.tuned(frame, link.line.baud) if self._fast and isinstance(link, Tunable) else None
        reply, baud = faster or (self._family.reply(frame), None)
        if reply:
            await link.write(reply)
        if baud and isinstance(link, Tunable):
            await asyncio.sleep(len(reply) * link.line.char_s)  # what the driver took, the chip has yet to send
            await self._retune(baud)

    async def _listen(self, answer: _Answer) -> None:
        loop = asyncio.get_running_loop()
        until_s = answer.asked_s + self._timeout_s
        react_s = self._family.react_s or self._timeout_s
        while not (answer.facts and self._family.whole(answer.facts)):
            silence_s = react_s if answer.first_s is None else max(self._family.react_s or 0.0, self._family.gap_s)
            patience_s = min(until_s, max(answer.asked_s, answer.last_s) + silence_s)
            data, t_s = await self._wire.link.read(max(0.0, patience_s - loop.time()))
            if data:
                answer.first_s = t_s if answer.first_s is None else answer.first_s
                answer.last_s = loop.time()
                await self._hear(data, answer)
            elif loop.time() >= patience_s:
                await self._hear(None, answer)
                if answer.facts and self._family.whole(answer.facts):
                    return
                raise answer.error or NoReply(f"no whole answer within {self._timeout_s:g} s")

    async def _hear(self, data: bytes | None, answer: _Answer) -> None:
        for heard in self._ear.finish() if data is None else self._ear.feed(data):
            if isinstance(heard.error, DeviceRefused):
                if self._family.match(heard.piece.data, self.unit, self._count):
                    raise heard.error
                self._foreign += 1
            elif heard.error is not None:
                answer.error = heard.error
            elif heard.facts and not self._family.match(heard.piece.data, self.unit, self._count):
                self._foreign += 1
            else:
                answer.facts += heard.facts
                await self._reply(heard.piece.data)

    @property
    def _timeout_s(self) -> float:
        return self.profile.limits.timeout_ms / 1000

    def _samples_of(self, facts: list[Facts], t_s: float, *, error: ReplyError | None) -> list[Sample]:
        t_ns = round(t_s * 1e9)
        made: list[Sample] = []
        for fact in facts:
            if fact.once and self._news.get(fact.part, self.seen.get(fact.part)) == brief(fact.once):
                self._repeated += 1
            elif (sample := self._rows.sample(fact, t_ns)) is not None:
                if fact.once:
                    self._news[fact.part] = brief(fact.once)
                self._parts[fact.part] = None
                made.append(sample)
        self.failure = "" if error is None else error.fact
        if made or (facts and self._renewed_s is None):  # an interval remembered from before a restart is no news
            self._renewed_s = t_s
        code = _code(error)
        if error is None and facts and not made and self._is_stale(t_s):
            self.failure, code = "the device repeats an old interval", Code.STALE
        if code is not None:
            told = {sample.part for sample in made}
            made += [sample for sample in self._failed(t_ns, code=code) if sample.part not in told]
        return made

    def _is_stale(self, t_s: float) -> bool:
        period_s = self.profile.every_s
        return bool(period_s and self._renewed_s is not None and t_s - self._renewed_s > STALE_PERIODS * period_s)

    def _failed(self, t_ns: int, *, code: Code) -> list[Sample]:
        """Failed samples of the whole sensor and of its parts; none of an event stream (`failure` tells it)."""
        if not self.profile.every_s:
            return []
        whole = [""] if self._rows.count("") else []
        return [
            replace(Sample.failed(t_ns, count=self._rows.count(part), code=code), part=part)
            for part in (*whole, *(part for part in self._parts if part))
        ]


@dataclass(slots=True)
class _Answer:
    """What has come so far, on the event loop's clock."""

    asked_s: float
    first_s: float | None = None
    last_s: float = 0.0
    facts: list[Facts] = field(default_factory=list)
    error: ReplyError | None = None


def _code(error: ReplyError | None) -> Code | None:
    if error is None:
        return None
    if isinstance(error, DeviceRefused):
        return Code.EXCEPTION
    return Code.CRC if isinstance(error, BadFrame) else Code.TIMEOUT
