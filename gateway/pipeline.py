"""Sample to journaled record: stamp, judge, window, number, append; the one path that every value takes.

Synchronous and without I/O of its own: the daemon drives it with samples and ticks, the history replay with a
clock it turns by hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from drivers.sample import Code, Sample
from gateway.clock import Clock
from gateway.codec import DEAD, Codec
from gateway.journal import Journal
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.record import Body, Record

UNDATED_MAX: Final = 50_000  # samples held while the clock is not trusted
ISSUED_KEPT: Final = 4096
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
class _Stamp:
    """Times already issued for one device and stream, and its sequence number in this epoch."""

    seq: int = 0
    last_ms: int = 0
    recent: deque[int] | None = None


class Pipeline:
    """Turns samples into records of this epoch and appends them to the journal.

    `seen` holds the newest record of every (device, stream), for health and the local socket. Listeners get
    (position, record) for each appended record, and (position, None) for entries that are no sink's business.
    """

    def __init__(self, *, clock: Clock, journal: Journal, codec: Codec, epoch: str, estimated: bool = False) -> None:
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
        self._stamps: dict[tuple[str, str], _Stamp] = {}
        self._last_committed: Mapping[str, tuple[str, int]] = _previous(journal.marks)
        self._undated: deque[tuple[Series, Sample]] = deque(maxlen=UNDATED_MAX)
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
        """One sample of one series: at once where the clock is trusted, else when it is."""
        if not self._clock.trusted():
            self.undated_lost += len(self._undated) == UNDATED_MAX
            self._undated.append((series, sample))
            return
        while self._undated:
            self._date(*self._undated.popleft())
        self._date(series, sample)

    def _date(self, series: Series, sample: Sample) -> None:
        self._watch_steps()
        age_ms = (self._clock.mono_ns() - sample.t_mono_ns) // 1_000_000
        t_ms = self._free(series.id, "raw", self._clock.wall_ms() - age_ms)
        values = tuple(map(round, sample.values, self._digits_of(series)))
        codes = sample.codes
        if self._estimated:
            codes = tuple(code or int(Code.ESTIMATED) for code in codes)
        reading = Reading(series, t_ms, sample.t_mono_ns, values, codes)
        if self._judge is not None:
            reading = self._judge.judge(reading)
        self._append(series.id, "raw", reading)
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

    def _free(self, device: str, stream: str, t_ms: int) -> int:
        """The time itself, or the next millisecond that this device and stream have not used."""
        stamp = self._stamp(device, stream)
        if stamp.last_ms < t_ms:
            return t_ms
        if t_ms > stamp.last_ms - STEP_MS:  # same or nearly the same time: keep rising
            return stamp.last_ms + 1
        issued = set(stamp.recent or ())
        while t_ms in issued:
            t_ms += 1
        return t_ms

    def _stamp(self, device: str, stream: str) -> _Stamp:
        key = device, stream
        found = self._stamps.get(key)
        if found is None:
            found = self._stamps[key] = _Stamp(recent=deque(maxlen=ISSUED_KEPT))
        return found

    def tick(self) -> None:
        """Close the windows that are complete; does nothing before the clock is trusted."""
        if self._windows is None or not self._clock.trusted():
            return
        for aggregate in self._windows.close(self._clock.wall_ms()):
            self._append(aggregate.series.id, aggregate.stream, self._attach(aggregate))

    def event(self, event: Event) -> None:
        """Journal an event; it is committed within 100 ms."""
        self._append(event.device, "event", event)
        self.urgent()

    def bury(self, sink: str, record: Record, reason: str) -> None:
        """Keep a dead letter: the record as it was, the sink and the reason."""
        kind, payload = self._codec.encode(record)
        letter = msgspec.msgpack.encode([1, sink, reason, kind, payload])
        self._tell(self._journal.append(DEAD, letter), None)

    def _append(self, device: str, stream: str, body: Body) -> None:
        stamp = self._stamp(device, stream)
        rev = body.rev if isinstance(body, Aggregate) else 0
        prev = None
        if not rev:
            stamp.seq += 1
            prev = self._last_committed.get(f"{device}/{stream}") if stamp.seq == 1 else None
        t_ms = body.start_ms if isinstance(body, Aggregate) else body.t_ms
        if isinstance(body, Event):
            t_ms = self._free(device, stream, t_ms)
        if stamp.recent is not None and stream == "raw":
            stamp.recent.append(t_ms)
        stamp.last_ms = t_ms
        record = Record(
            device, stream, t_ms, self.epoch, stamp.seq, body, rev=rev, prev=prev, estimated=self._estimated
        )  # fmt: skip
        self.seen[device, stream] = record
        self._tell(self._journal.append(*self._codec.encode(record)), record)

    def _tell(self, position: int, record: Record | None) -> None:
        for listener in self.listeners:
            listener(position, record)

    def mark_numbers(self) -> None:
        """Set the mark of the last numbers; called before each commit, so it covers exactly what is committed."""
        numbers = {f"{device}/{stream}": stamp.seq for (device, stream), stamp in self._stamps.items()}
        self._journal.mark("numbers", msgspec.msgpack.encode([1, self.epoch, numbers, self._carried(numbers)]))

    def _carried(self, numbers: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Older epochs' last numbers of devices that have not spoken in this one."""
        fresh = set(numbers)
        return {key: last for key, last in self._last_committed.items() if key not in fresh}


def _previous(marks: Mapping[str, bytes]) -> dict[str, tuple[str, int]]:
    blob = marks.get("numbers")
    if blob is None:
        return {}
    _version, epoch, numbers, carried = msgspec.msgpack.decode(blob)
    return {key: (last[0], last[1]) for key, last in carried.items()} | {
        key: (epoch, seq) for key, seq in numbers.items() if seq
    }  # fmt: skip


def next_epoch(marks: Mapping[str, bytes], random_hex: str) -> str:
    """The epoch of a new start: the counter of the journal's last one plus one, and four random hex digits."""
    blob = marks.get("numbers")
    count = 0 if blob is None else int(msgspec.msgpack.decode(blob)[1].split("-")[0], 16)
    return f"{(count + 1) & 0xFFFFFFFF:08x}-{random_hex}"
