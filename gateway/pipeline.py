"""Sample to journaled record: stamp, judge, number, append, then window; the one path that every value takes.

Synchronous and without I/O of its own: the daemon drives it with samples and ticks, the history replay with a
clock it turns by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from drivers.sample import Code, Sample
from gateway.clock import BUILD_MS, HORIZON_MS, Clock
from gateway.codec import DEAD, UNDATED, Codec, Undated
from gateway.dating import Dated, Dating
from gateway.journal import Entry, Journal
from gateway.journal.errors import JournalFull
from gateway.numbers import Numbers
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.recall import Index, Recall
from gateway.record import Body, Record
from gateway.refused import Refused
from gateway.revisit import Revisit, Revisits, Windows
from gateway.rounding import Rounded
from gateway.schemas import Schemas

GIVE_SAMPLE: Final = 50  # held entries that are dated with each new one, and with each tick
GIVE_TICK: Final = 2000
STEP_MS: Final = 1000  # the wall clock moved against the monotonic one by more than this: a step, not a slew


class Judge(Protocol):
    """Marks each point of a reading; never deletes, never improves (gateway.quality)."""

    def judge(self, reading: Reading) -> Reading:
        """The reading with the worst code of each point."""


Listener = Callable[[int, Record | None], None]


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
        self._rounded = Rounded()
        self._windows: Windows | None = None
        self._attach: Callable[[Aggregate], Aggregate] = lambda aggregate: aggregate
        self._numbers = Numbers(journal=journal, codec=codec, epoch=epoch)
        self._schemas = Schemas(journal=journal, codec=codec)
        self._refused = Refused(epoch)
        self._dating = Dating(clock=clock, journal=journal, codec=codec, boot=boot, max_wait_s=max_wait_s)
        self.dated: Callable[[], bool] = self._dating.at_once
        self._before: tuple[int, int] | None = None  # ms: offset of the wall clock, and sleep
        self._told = 0
        self._recall: Recall | Revisit | None = None
        self._revisits: Revisits | None = None
        self._unissued: list[Aggregate] = []
        self._index = Index(journal)

    def fit(
        self,
        series: Iterable[Series],
        *,
        judge: Judge | None = None,
        windows: Windows | None = None,
        attach: Callable[[Aggregate], Aggregate] | None = None,
        recall: Recall | None = None,
    ) -> None:
        """Put the rooms in place: the judge, the windows, and what attaches indicators to aggregates.

        With a `recall` no window takes a reading or closes until `remember` has walked through it.
        """
        self._judge = judge
        self._windows = windows
        self._attach = attach or self._attach
        self._recall = recall
        if recall is not None:
            recall.record = self._numbers.first_issue
        series = tuple(series)
        if windows is not None:
            self._revisits = Revisits(
                journal=self._journal, codec=self._codec, series=series, windows=windows, numbers=self._numbers
            )
            self.listeners.append(self._revisits.heard)
        self._schemas.fit(series)

    def take(self, series: Series, sample: Sample) -> None:
        """One sample of one series: at once where the clock is trusted, else held in the journal until it is."""
        values = self._rounded(series, sample.values)
        if not self.dated():
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

    def let_go(self, position: int) -> bool:
        """The journal lets go of an entry: whether that was a sample still to be dated, which is lost then."""
        held = self._dating.holds(position)
        self.undated_lost += held
        return held

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
        if t_ms != reading.t_ms or codes is not reading.codes:
            reading = replace(reading, t_ms=t_ms, codes=codes)
        if self._judge is not None:
            reading = self._judge.judge(reading)
        if self._revisits is not None and self._recall is None:
            self._recall = self._revisits.due(reading, self._clock.wall_ms())
        if not self._append(ident, "raw", reading):
            self._refused.add(ident, "raw", t_ms=t_ms)
        if self._windows is not None and self._recall is None:  # a recall takes it from the journal
            self._windows.add(reading)

    @property
    def recall(self) -> Recall | Revisit | None:
        """What is still to be remembered: read a slice of it, give it to `remember`; None: all is there."""
        return self._recall

    def remember(self, entries: list[Entry] | None = None) -> bool:
        """Take a slice of the recall (read here where none is given); whether it is over.

        Then windows go on as if the gateway had never stopped.
        """
        if self._recall is not None:
            found = self._recall.step(self._recall.read() if entries is None else entries)
            if found is None:
                return False
            self._recall, self._unissued = None, [*self._unissued, *found]
        return True

    def _watch_steps(self) -> None:
        """Tell of a step of the wall clock, and of sleep, against the loop's time; each once."""
        asleep_ms = self._clock.asleep_ns() // 1_000_000
        offset_ms = self._clock.wall_ms() - self._clock.mono_ns() // 1_000_000 - asleep_ms
        before, self._before = self._before, (offset_ms, asleep_ms)
        if before is None:
            return
        step_s, slept_s = (offset_ms - before[0]) / 1000, (asleep_ms - before[1]) / 1000
        if abs(step_s) * 1000 > STEP_MS:
            text = {"en": f"The clock was stepped by {step_s:+.3f} s", "th": f"นาฬิกาถูกปรับ {step_s:+.3f} วินาที"}
            if self._windows is not None:
                self._windows.stepped(self._clock.wall_ms())
            self._tell_time("CG-CLK-02", text, {"step_s": step_s})
        if slept_s * 1000 > STEP_MS:
            text = {"en": f"The machine slept for {slept_s:.1f} s", "th": f"เครื่องหลับไป {slept_s:.1f} วินาที"}
            self._tell_time("CG-CLK-03", text, {"slept_s": slept_s})

    def _tell_time(self, code: str, text: Mapping[str, str], body: Mapping[str, object]) -> None:
        self._told += 1
        ident = f"clock-{self.epoch}-{self._told}"
        self.event(Event("_gateway", self._clock.wall_ms(), ident, "clock", code, "info", text=text, body=body))

    def tick(self) -> None:
        """Date what is held, then close the windows that are complete; none before the clock is trusted."""
        if self._dating.waiting:
            self._give(GIVE_TICK)
        if not self.dated():
            return
        self._watch_steps()
        self._tell_refused()
        now_ms = self._clock.wall_ms()
        if self._windows is None or self._recall is not None:
            return
        self._index.note(now_ms)
        unissued, self._unissued = self._unissued, []
        for aggregate in (*unissued, *self._windows.close(now_ms)):
            self._issue(aggregate)

    def _issue(self, aggregate: Aggregate) -> None:
        """Into the journal with its figures, where its time is sane and it was not issued before."""
        device, stream, start_ms = aggregate.series.id, aggregate.stream, aggregate.start_ms
        if not BUILD_MS <= start_ms < aggregate.end_ms <= HORIZON_MS:
            return
        taken = not aggregate.rev and self._numbers.taken(device, stream, t_ms=start_ms)
        if not taken and not self._append(device, stream, self._attach(aggregate)):
            self._refused.add(device, stream, t_ms=start_ms)

    def event(self, event: Event) -> None:
        """Journal an event; it is committed within 100 ms. Before the clock is trusted it waits, as samples do."""
        if not self.dated():
            self._hold(self._clock.mono_ns(), event)
        else:
            self._event(event)

    def _event(self, event: Event) -> None:
        t_ms = self._numbers.free(event.device, "event", t_ms=event.t_ms)
        if self._append(event.device, "event", replace(event, t_ms=t_ms)):
            self.urgent()
        else:
            self._refused.add(event.device, "event", t_ms=t_ms)

    def _tell_refused(self) -> None:
        """Name what the full journal could not take, as soon as it takes that."""
        for key, gap in self._refused.gaps(self._clock.wall_ms()):
            t_ms = self._numbers.free(gap.device, "event", t_ms=gap.t_ms)
            if not self._append(gap.device, "event", replace(gap, t_ms=t_ms)):
                return
            self._refused.forget(key)

    def bury(self, sink: str, record: Record, reason: str) -> None:
        """Keep a dead letter: the record as it was, the sink and the reason."""
        kind, payload = self._codec.encode(record)
        self._bury([sink, reason, kind, payload])

    def note(self, kind: int, payload: bytes) -> None:
        """Keep an entry that no sink wants; a full journal's gap event counts it among those of `_gateway`."""
        try:
            position = self._journal.append(kind, payload)
        except JournalFull:
            self._refused.add("_gateway", "note", t_ms=self._clock.wall_ms())
            return
        self._tell(position, None)

    def _bury(self, letter: list[object]) -> None:
        self.note(DEAD, msgspec.msgpack.encode([1, *letter]))

    def _append(self, device: str, stream: str, body: Body) -> bool:
        """Number it and put it into the journal; false where that is full."""
        rev = body.rev if isinstance(body, Aggregate) else 0
        t_ms = body.start_ms if isinstance(body, Aggregate) else body.t_ms
        epoch, seq, prev = self._numbers.peek(device, stream, t_ms=t_ms, rev=rev)
        record = Record(device, stream, t_ms, epoch, seq, body, rev=rev, prev=prev, estimated=self._estimated)
        try:
            position = self._journal.append(*self._codec.encode(record))
        except JournalFull:
            return False
        self._numbers.issue(record)
        self.seen[device, stream] = record
        self._tell(position, record)
        return True

    def _tell(self, position: int, record: Record | None) -> None:
        for listener in self.listeners:
            listener(position, record)

    def set_marks(self) -> None:
        """Set the marks of last numbers and of what is held; called before each commit: they cover just that."""
        self._dating.save()
        self._numbers.mark()
        self._schemas.prune()


def _back_dated(one: Dated, series: Series, values: tuple[float, ...], codes: tuple[int, ...]) -> Reading:
    """The reading of a held sample; where its time is not exact, every point says so (code `clock`)."""
    if one.t_err_s is not None:
        codes = tuple(max(code, int(Code.CLOCK)) for code in codes)
    return Reading(series, one.t_ms, one.t_mono_ns, values, codes, one.t_err_s)
