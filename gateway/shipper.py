"""One task per sink: connect, feed it from its lanes, book fates, wait and try again. Knows no protocol."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Final

from gateway.clock import rfc3339
from gateway.lanes import Lanes
from gateway.meter import Meter
from gateway.order import Order
from gateway.record import Record
from gateway.replay import Replay
from gateway.sinks import Fate, Parcel, Sink, SinkDown, Warns, Weighs
from gateway.standing import Standing

LOG: Final = logging.getLogger("citygate.ship")
LONGEST_WAIT_S: Final = 30.0
PARK_S: Final = 5.0
RESCAN_S: Final = 30.0
BACKLOG_CHUNK: Final = 200
READING_S: Final = 0.005  # between two slices that a replay reads of the journal: live polls come first


def wait_s(
    failures: int, *, asked_s: float | None = None, dice: Callable[[float, float], float] = random.uniform
) -> float:
    """How long to wait after so many failures in a row (s): full jitter up to 1, 2, 4 ... 30, behind what was asked.

    All of a city's gateways lose their broker in the same second; without jitter they would all be back in one, too.
    """
    return (asked_s or 0.0) + dice(0.1, min(LONGEST_WAIT_S, 0.5 * 2.0 ** min(failures, 8)))


class Shipper:
    """Owns one sink and its lanes.

    `bury(name, record, reason)` keeps a dead letter; `say(name, code, state, fact)` raises or clears an alarm.
    `backfill_bytes_s` limits the second lane; 0 is no limit.
    """

    def __init__(self, name: str, *, sink: Sink, lanes: Lanes, backfill_bytes_s: float = 0.0) -> None:
        self.name = name
        self.sink = sink
        self.lanes = lanes
        self.bury: Callable[[str, Record, str], None] = lambda _name, _record, _reason: None
        self.replay: Replay | None = None
        self.say: Callable[[str, str, str, str], None] = lambda _name, _code, _state, _fact: None
        self.standing = Standing(name)
        self.standing.say = self._say
        self.meter: Meter | None = None
        self.waited_s = 0.0  # before the last try to connect
        self.after_commit: Callable[[], None] = lambda: None
        self._weighed_bytes = 0
        self._scale = sink if isinstance(sink, Weighs) else None  # asked once: such a look is not cheap
        self._wake = asyncio.Event()
        self._backfill_bytes_s = backfill_bytes_s
        self._tokens = 0.0
        self._filled_s = 0.0
        self._live_since_s = 0.0
        self._later: asyncio.TimerHandle | None = None

    @property
    def state(self) -> str:
        """Either `connecting`, `up`, `down` or `stopped`."""
        return self.standing.state

    @property
    def fact(self) -> str:
        """Why it is down, or what was refused last; empty if all is well."""
        return self.standing.fact

    def offer(self, position: int, record: Record | None) -> None:
        """A record was appended to the journal."""
        before = self.lanes.live_waiting
        self.lanes.offer(position, record)
        if record is not None and record.rev and self.replay is not None:
            self.replay.amended(record)
        if not before and self.lanes.live_waiting:
            self._live_since_s = asyncio.get_running_loop().time()
            self._wake.set()

    def committed(self) -> None:
        """The journal has committed: held windows and events may go, and the backlog may be read further."""
        self.after_commit()
        if self.lanes.letters_left():
            self._tell_letters()
        self._wake.set()

    def settle(self, position: int, fate: Fate, reason: str) -> None:
        """A parcel's fate, from the sink (see `gateway.sinks.Settle`)."""
        if not self.standing.proven and fate is not Fate.AGAIN:
            self.standing.prove()
        if self.replay is not None and self.replay.settle(position, fate=fate, reason=reason):
            self._tell_letters()
            self._wake.set()
            return
        record = self.lanes.settle(position, fate)
        if record is None:
            return
        if fate is Fate.DEAD:
            self.bury(self.name, record, reason)
            self.lanes.buried()
            self._tell_letters(reason)
        elif fate is Fate.AGAIN:
            self._park(position, reason)
        if not self.lanes.idle or (self.replay is not None and self.replay.active):
            self._wake.set()  # there is room in the window for what waits

    def _park(self, position: int, reason: str) -> None:
        """Try it again soon; where half of the window is parked, the lot waits in the journal for a later look."""
        self.standing.fact = reason
        loop = asyncio.get_running_loop()
        if self.lanes.in_hand - len(self.lanes.unsettled) > max(1, self.sink.window // 2):
            self.lanes.forget_parked()
            if self._later is None:
                self._later = loop.call_later(RESCAN_S, self._look_again)
            return
        loop.call_later(PARK_S, self._unpark, position)

    def _unpark(self, position: int) -> None:
        if self.lanes.unpark(position):
            self._wake.set()

    def _look_again(self) -> None:
        """For what was parked and forgotten: while the backlog is read it lies behind, and waits for its end."""
        self._later = None
        if not self.lanes.rescan():
            self._later = asyncio.get_running_loop().call_later(RESCAN_S, self._look_again)
        self._wake.set()

    def send_again(self, order: Order) -> None:
        """Begin a replay. Raises `OrderGoesOn`."""
        if self.replay is not None:
            self.replay.begin(order)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Every loss of the connection ends in a full-jitter wait of at most 30 s."""
        self._tell_letters()
        try:
            while True:
                retry_s: float | None = None
                try:
                    await self.sink.open(self.settle)
                    self._up()
                    await self._pump()
                except SinkDown as down:
                    retry_s = down.retry_s
                    self.standing.down(down)
                finally:
                    self.standing.away()
                    self.lanes.abandon()
                    if self.replay is not None:
                        self.replay.abandon()
                    await self.sink.close()
                self.waited_s = wait_s(self.standing.failures, asked_s=retry_s)
                await asyncio.sleep(self.waited_s)
        finally:
            self.standing.state = "stopped"

    def _say(self, name: str, code: str, state: str, fact: str) -> None:
        self.say(name, code, state, fact)

    def _tell_letters(self, reason: str = "") -> None:
        self.standing.letters(self.lanes.ledger.letters, reason)

    def _up(self) -> None:
        self._weigh()
        self.lanes.begin()
        self.standing.up()
        LOG.info("sink %s: up, %d records waiting", self.name, self.lanes.ledger.waiting)

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        began_s, values = loop.time(), 0.0
        while True:
            down = self.sink.down()
            if down is not None:
                raise down
            self._wake.clear()
            parcels, wait_s = self._next(loop.time())
            if parcels:
                await self.sink.send(parcels)
                values += len(parcels) * self.lanes.values_per_record
                continue
            if values > 1000.0 and loop.time() > began_s:
                self.lanes.rate = values / (loop.time() - began_s)
            await self._sleep(wait_s)
            began_s, values = loop.time(), 0.0

    async def _sleep(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(wait_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _next(self, now_s: float) -> tuple[list[Parcel], float]:
        """What to hand over now, or how long to sleep at most (s)."""
        self._weigh()
        room = self.sink.window - self.lanes.in_hand - (0 if self.replay is None else self.replay.in_hand)
        if room <= 0:
            return [], 1.0
        wait_s = 1.0
        if self.lanes.live_waiting:
            due_s = self._live_since_s + self.sink.linger_s
            if now_s >= due_s or self.lanes.live_waiting >= room:
                parcels = self.lanes.live(room)
                self._guess(len(parcels))
                return parcels, 0.0
            wait_s = due_s - now_s
        allowed = self._allowed(now_s)
        # Half of the window stays free for live records while the backlog drains beside them.
        room = min(room - (self.sink.window // 2 if self.lanes.state == "both" else 0), BACKLOG_CHUNK, allowed)
        parcels = self.lanes.backlog(room) if room > 0 else []
        if not parcels and room > 0 and self.replay is not None and not (self.meter and self.meter.spent):
            parcels = self.replay.next(room, now_s)
            return parcels, READING_S if self.replay.reading else wait_s
        self._guess(len(parcels))
        if self._backfill_bytes_s and self.lanes.state == "both":
            self._tokens -= len(parcels) * self._record_bytes()
        return parcels, min(wait_s, self._token_s()) if allowed <= 0 else wait_s

    def _weigh(self) -> None:
        """Count what the sink has sent since the last look; where the budget is spent, raw and the backlog wait."""
        if self._scale is not None:
            sent_bytes = self._scale.sent_bytes
            self._count(sent_bytes - self._weighed_bytes)
            self._weighed_bytes = sent_bytes
        if self.meter is not None:
            self.lanes.ration(self.meter.spent)

    def _guess(self, parcels: int) -> None:
        """A sink that does not weigh what it sends: about so much it will be."""
        if parcels and self._scale is None:
            self._count(round(parcels * self._record_bytes()))

    def _count(self, size_bytes: int) -> None:
        self.lanes.ledger.sent_bytes += size_bytes
        if self.meter is not None:
            self.meter.add(size_bytes)

    def _token_s(self) -> float:
        """Until `backfill_rate` lets the next record through."""
        return max(0.05, (self._record_bytes() - self._tokens) / self._backfill_bytes_s)

    def _record_bytes(self) -> float:
        return 120.0 + 16.0 * self.lanes.values_per_record

    def _allowed(self, now_s: float) -> int:
        """Records of the second lane that `backfill_rate` lets through now; a short backlog is never held up."""
        if not self._backfill_bytes_s or self.lanes.state != "both":
            return BACKLOG_CHUNK
        passed_s, self._filled_s = min(1.0, now_s - self._filled_s), now_s
        most = max(self._backfill_bytes_s, self._record_bytes())  # room for one, however slow the rate
        self._tokens = min(self._tokens + passed_s * self._backfill_bytes_s, most)
        return int(self._tokens / self._record_bytes())

    def report(self) -> Mapping[str, object]:
        """The sink's part of health and of the snapshot. `oldest_t`: of the oldest record that waits; null for none."""
        ledger, standing, oldest_ms = self.lanes.ledger, self.standing, self.lanes.oldest.ms()
        counts = ledger.counts
        confirmed = counts["delivered"] + counts["unheard"] + counts["sent"]
        return {
            "state": standing.state,
            **({"lane": self.lanes.state} if standing.state == "up" else {}),
            "selected": ledger.selected,
            "confirmed": confirmed,
            "waiting": ledger.waiting,
            "oldest_t": None if oldest_ms is None else rfc3339(oldest_ms),
            **counts,
            "letters": ledger.letters,
            "bytes": ledger.sent_bytes,
            **({"budget": self.meter.report()} if self.meter else {}),
            **({"code": standing.code, "fact": standing.fact} if standing.code else {}),
            **({"warning": warning} if (warning := self._warning()) else {}),
        }

    def _warning(self) -> str:
        """What does not work as it should while the sink is up; empty if all is well."""
        if self.state != "up":
            return ""
        told = self.sink.warning() if isinstance(self.sink, Warns) else ""
        letters, unheard = self.lanes.ledger.letters, self.lanes.unheard
        dead = f"{letters} dead letters: citygate journal dead list" if letters else ""
        heard = f"{unheard} records went to a broker where nobody listened" if unheard else ""
        spent = "" if self.meter is None else self.meter.warning()
        return "; ".join(text for text in (told, dead, heard, spent) if text)
