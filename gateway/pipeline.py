"""Sample to journaled record: stamp, judge, window, number, append; the one path that every value takes.

Synchronous and without I/O of its own: the daemon drives it with samples and ticks, the history replay with a
clock it turns by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec

from drivers.sample import Code, Sample
from gateway.clock import Clock, rfc3339
from gateway.codec import DEAD, UNDATED, Codec, Undated
from gateway.dating import Dated, Dating
from gateway.journal import Journal
from gateway.journal.errors import JournalFull
from gateway.numbers import Numbers
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.record import Body, Record

GIVE_SAMPLE: Final = 50  # held entries that are dated with each new one, and with each tick
GIVE_TICK: Final = 2000
STEP_MS: Final = 1000  # the wall clock moved against the monotonic one by more than this: a step, not a slew


class Judge(Protocol):
    """Marks each point of a reading; never deletes, never improves (gateway.quality)."""

    def judge(self, reading: Reading) -> Reading:
        """The reading with the worst code of each point."""


class Windows(Protocol):
    """Statistics on clock-aligned windows (gateway.window)."""

    def add(self, reading: Reading) -> None:
        """Take one judged reading."""

    def close(self, now_ms: int) -> list[Aggregate]:
        """The windows that are complete by now."""


Listener = Callable[[int, Record | None], None]


@dataclass(slots=True)
class _Refused:
    """What a full journal could not take of one device and stream: times (UTC ms) and count."""

    first_ms: int
    last_ms: int
    n: int = 1


class Pipeline:
    """Turns samples into records of this epoch and appends them to the journal.

    `seen` holds the newest record of every (device, stream), for health and the local socket. Listeners get
    (position, record) for each appended record, and (position, None) for entries that are no sink's business.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        journal: Journal,
        codec: Codec,
        epoch: str,
        estimated: bool = False,
        boot: str = "",
        max_wait_s: float = 86_400.0,
    ) -> None:
        self.listeners: list[Listener] = []
        self.seen: dict[tuple[str, str], Record] = {}
        self.epoch = epoch
        self.urgent: Callable[[], None] = lambda: None
        self.undated_lost = 0
        self._clock = clock
        self._journal = journal
        self._codec = codec
        self._estimated = estimated
        self._judge: Judge | None = None
        self._digits: dict[Series, tuple[int, ...]] = {}
        self._windows: Windows | None = None
        self._attach: Callable[[Aggregate], Aggregate] = lambda aggregate: aggregate
        self._numbers = Numbers(journal=journal, codec=codec, epoch=epoch)
        self._refused: dict[tuple[str, str], _Refused] = {}
        self._dating = Dating(clock=clock, journal=journal, codec=codec, boot=boot, max_wait_s=max_wait_s)
        self._offset_ms: int | None = None

    def fit(
        self,
        series: Iterable[Series],
        *,
        judge: Judge | None = None,
        windows: Windows | None = None,
        attach: Callable[[Aggregate], Aggregate] | None = None,
    ) -> None:
        """Put the rooms in place: the judge, the windows, and what attaches indicators to aggregates."""
        self._judge = judge
        self._windows = windows
        self._attach = attach or self._attach
        for one in series:
            self._journal.mark(*self._codec.schema_marks(one))

    def take(self, series: Series, sample: Sample) -> None:
        """One sample of one series: at once where the clock is trusted, else held in the journal until it is."""
        values = tuple(map(round, sample.values, self._digits_of(series)))
        if self._dating.waiting or not self._dating.trusted():
            self._hold(sample.t_mono_ns, (series, values, sample.codes))
            return
        self._watch_steps()
        age_ms = (self._clock.mono_ns() - sample.t_mono_ns) // 1_000_000
        self._read(Reading(series, self._clock.wall_ms() - age_ms, sample.t_mono_ns, values, sample.codes))

    def _hold(self, t_mono_ns: int, what: Undated) -> None:
        try:
            self._tell(self._dating.hold(t_mono_ns, what), None)
        except JournalFull:
            self.undated_lost += 1
        self._give(GIVE_SAMPLE)

    def _give(self, limit: int) -> None:
        """Date up to `limit` of what is held, oldest first, as far as that is possible now."""
        for one in self._dating.give(limit):
            if one.lost or one.what is None:
                self.undated_lost += 1
                self._bury(["", one.lost, UNDATED, one.payload])
            elif isinstance(one.what, Event):
                self._event(replace(one.what, t_ms=one.t_ms))
            else:
                self._read(_back_dated(one, *one.what))

    def _read(self, reading: Reading) -> None:
        """A reading at its true time: make the time unique, judge, append, put it into the windows."""
        ident, codes = reading.series.id, reading.codes
        if self._estimated:
            codes = tuple(code or int(Code.ESTIMATED) for code in codes)
        t_ms = self._numbers.free(ident, "raw", t_ms=reading.t_ms)
        reading = replace(reading, t_ms=t_ms, codes=codes)
        if self._judge is not None:
            reading = self._judge.judge(reading)
        self._append(ident, "raw", reading)
        if self._windows is not None:
            self._windows.add(reading)

    def _digits_of(self, series: Series) -> tuple[int, ...]:
        found = self._digits.get(series)
        if found is None:
            found = self._digits[series] = tuple(point.digits for point in series.points)
        return found

    def _watch_steps(self) -> None:
        offset_ms = self._clock.wall_ms() - self._clock.mono_ns() // 1_000_000
        before, self._offset_ms = self._offset_ms, offset_ms
        if before is not None and abs(offset_ms - before) > STEP_MS:
            text = {"en": f"The clock was stepped by {(offset_ms - before) / 1000:+.3f} s",
                    "th": f"นาฬิกาถูกปรับ {(offset_ms - before) / 1000:+.3f} วินาที"}  # fmt: skip
            self.event(Event(
                "_gateway", self._clock.wall_ms(), f"clock-{self.epoch}-{offset_ms}", "clock", "CG-CLK-02", "info",
                text=text, body={"step_s": (offset_ms - before) / 1000},
            ))  # fmt: skip

    def tick(self) -> None:
        """Date what is held, then close the windows that are complete; none before the clock is trusted."""
        if self._dating.waiting:
            self._give(GIVE_TICK)
        if self._dating.waiting or not self._dating.trusted():
            return
        self._tell_refused()
        closed = self._windows.close(self._clock.wall_ms()) if self._windows else ()
        for aggregate in closed:
            device, stream = aggregate.series.id, aggregate.stream
            if aggregate.rev or not self._numbers.taken(device, stream, t_ms=aggregate.start_ms):
                self._append(device, stream, self._attach(aggregate))

    def event(self, event: Event) -> None:
        """Journal an event; it is committed within 100 ms. Before the clock is trusted it waits, as samples do."""
        if self._dating.waiting or not self._dating.trusted():
            self._hold(self._clock.mono_ns(), event)
        else:
            self._event(event)

    def _event(self, event: Event) -> None:
        t_ms = self._numbers.free(event.device, "event", t_ms=event.t_ms)
        self._append(event.device, "event", replace(event, t_ms=t_ms))
        self.urgent()

    def _tell_refused(self) -> None:
        """The journal takes entries again: name what it could not take."""
        refused, self._refused = self._refused, {}
        for (device, stream), what in refused.items():
            text = {"en": f"{what.n} records of {device}/{stream} did not fit into the full journal",
                    "th": f"ข้อมูล {what.n} รายการของ {device}/{stream} ลงบันทึกไม่ได้เพราะเต็ม"}  # fmt: skip
            body = {"stream": stream, "reason": "full", "from": rfc3339(what.first_ms), "to": rfc3339(what.last_ms)}
            self.event(Event(
                device, self._clock.wall_ms(), f"gap-{device}-{stream}-{what.first_ms}", "gap", "CG-JRN-04", "info", 2,
                text, {**body, "n": what.n, "epoch": self.epoch, "seq": None},
            ))  # fmt: skip

    def bury(self, sink: str, record: Record, reason: str) -> None:
        """Keep a dead letter: the record as it was, the sink and the reason."""
        kind, payload = self._codec.encode(record)
        self._bury([sink, reason, kind, payload])

    def _bury(self, letter: list[object]) -> None:
        self._tell(self._journal.append(DEAD, msgspec.msgpack.encode([1, *letter])), None)

    def _append(self, device: str, stream: str, body: Body) -> None:
        rev = body.rev if isinstance(body, Aggregate) else 0
        t_ms = body.start_ms if isinstance(body, Aggregate) else body.t_ms
        seq, prev = self._numbers.peek(device, stream, rev=rev)
        record = Record(
            device, stream, t_ms, self.epoch, seq, body, rev=rev, prev=prev, estimated=self._estimated
        )  # fmt: skip
        try:
            position = self._journal.append(*self._codec.encode(record))
        except JournalFull:
            was = self._refused.setdefault((device, stream), _Refused(t_ms, t_ms, 0))
            was.first_ms, was.last_ms, was.n = min(was.first_ms, t_ms), max(was.last_ms, t_ms), was.n + 1
            return
        self._numbers.issue(record)
        self.seen[device, stream] = record
        self._tell(position, record)

    def _tell(self, position: int, record: Record | None) -> None:
        for listener in self.listeners:
            listener(position, record)

    def mark_numbers(self) -> None:
        """Set the marks of last numbers and of what is held; called before each commit: they cover just that."""
        self._dating.save()
        self._numbers.mark()


def _back_dated(one: Dated, series: Series, values: tuple[float, ...], codes: tuple[int, ...]) -> Reading:
    """The reading of a held sample; where its time is not exact, every point says so (code `clock`)."""
    if one.t_err_s is not None:
        codes = tuple(max(code, int(Code.CLOCK)) for code in codes)
    return Reading(series, one.t_ms, one.t_mono_ns, values, codes, one.t_err_s)
