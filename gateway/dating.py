"""When was it: samples and events wait in the journal, with boot id and monotonic time, until the clock is trusted.

What was held in the present boot is dated exactly, also after a crash in it. What was held in a boot that ended before
any synchronisation lies between the last trusted time and the start of the present boot, less the running times that
are known: it is dated to the middle of that interval, with its half as error.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.clock import BUILD_MS, HORIZON_MS, Clock
from gateway.codec import UNDATED, Codec, Undated, UnknownSchema
from gateway.journal import Entry, Journal

ERROR_MAX_S: Final = 3600.0
FROZEN_NS: Final = 2_000_000_000  # a wall clock that stands still for longer is not believed
DRIFT: Final = 2e-4  # of a crystal left to itself, s per s
BOOTS_MAX: Final = 64
CHUNK_BYTES: Final = 65_536
_MS: Final = 1_000_000  # in ns


@dataclass(frozen=True, slots=True)
class Dated:
    """A held entry with its time: UTC ms and error in s (None: exact), or `lost`: the reason why it has none."""

    payload: bytes
    what: Undated | None
    t_ms: int = 0
    t_mono_ns: int = 0
    t_err_s: float | None = None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """The last time that was trusted: in which boot, its offset (UTC less monotonic, ms) and its UTC ms."""

    boot: bytes
    offset_ms: int
    last_ms: int


class Dating:
    """Holds what cannot be dated yet, and gives it out dated. `boot`: the kernel's id of this boot."""

    def __init__(self, *, clock: Clock, journal: Journal, codec: Codec, boot: str, max_wait_s: float) -> None:
        self._clock = clock
        self._journal = journal
        self._codec = codec
        self._boot = boot_bytes(boot)
        self._max_wait_ns = int(max_wait_s * 1e9)
        self._started_ns = self._now_ns()
        self._low, self._last, self._runs = 0, -1, dict[bytes, int]()
        self._known: _Known | None = None
        self._wall_ms, self._moved_ns = -1, 0
        self._saved = b""
        self._load()

    @property
    def waiting(self) -> bool:
        """Whether something is held."""
        return self._low <= self._last

    def holds(self, position: int) -> bool:
        """Whether what stands there is still to be dated."""
        return self._low <= position <= self._last

    def trusted(self) -> bool:
        """Whether wall time may stamp records now: the clock says so, it is sane, and it moves."""
        wall_ms, now_ns = self._clock.wall_ms(), self._clock.mono_ns()
        if wall_ms != self._wall_ms:
            self._wall_ms, self._moved_ns = wall_ms, now_ns
        moves = now_ns - self._moved_ns <= FROZEN_NS
        return moves and BUILD_MS <= wall_ms <= HORIZON_MS and self._clock.trusted()

    def at_once(self) -> bool:
        """Whether what comes in now is dated now: nothing older waits, and the time is trusted."""
        return not self.waiting and self.trusted()

    def hold(self, t_mono_ns: int, what: Undated) -> int:
        """Journal it without a wall time; returns its position. Kept on the scale that counts sleep too."""
        t_mono_ns += self._clock.asleep_ns()
        position = self._journal.append(UNDATED, self._codec.hold(self._boot, t_mono_ns, what=what))
        if not self.waiting:
            self._low = position
        self._last = position
        self._runs[self._boot] = max(self._runs.get(self._boot, 0), t_mono_ns)
        if len(self._runs) > BOOTS_MAX:
            del self._runs[next(iter(self._runs))]
        return position

    def give(self, limit: int) -> Iterator[Dated]:
        """Up to `limit` held entries, oldest first: dated where that is possible now, lost where it never will be."""
        trusted = self.trusted()
        while limit > 0 and self.waiting:
            entries = self._journal.read(self._low, limit_bytes=CHUNK_BYTES)
            if not entries:
                self._low = self._last + 1  # dropped from a full journal, or skipped by its repair
                break
            for entry in entries:
                if entry.position > self._last or limit <= 0:
                    break
                if entry.kind == UNDATED:
                    found = self._date(entry, trusted=trusted)
                    if found is None:
                        return
                    limit -= 1
                    self._low = entry.position + 1
                    yield found
                self._low = entry.position + 1
        if not self.waiting:
            self._runs.clear()

    def save(self) -> None:
        """Set the marks; called before each commit, so they agree with what is committed."""
        if self.trusted() and not self.waiting:
            self._known = _Known(self._boot, self._offset_ms(), self._clock.wall_ms())
        known = None if self._known is None else [self._known.boot, self._known.offset_ms, self._known.last_ms]
        blob = msgspec.msgpack.encode([1, self._low, self._last, list(self._runs.items()), known])
        if blob != self._saved:
            self._saved = blob
            self._journal.mark("undated", blob)

    def _load(self) -> None:
        blob = self._journal.marks.get("undated")
        if blob is not None:
            _version, self._low, self._last, runs, known = msgspec.msgpack.decode(blob)
            self._runs = dict(runs)
            self._known = None if known is None else _Known(*known)

    def _now_ns(self) -> int:
        return self._clock.mono_ns() + self._clock.asleep_ns()

    def _offset_ms(self) -> int:
        return self._clock.wall_ms() - self._now_ns() // _MS

    def _date(self, entry: Entry, *, trusted: bool) -> Dated | None:
        """The entry dated; None where it has to wait on."""
        try:
            boot, t_mono_ns, what = self._codec.held(entry.payload)
        except UnknownSchema as error:
            return Dated(entry.payload, None, lost=str(error))
        waited_ns = self._now_ns() - (t_mono_ns if boot == self._boot else self._started_ns)
        if not trusted and waited_ns <= self._max_wait_ns:
            return None
        t_ms, error_s = self._interval(boot, t_mono_ns, trusted=trusted)
        if error_s > ERROR_MAX_S or not BUILD_MS <= t_ms <= HORIZON_MS:
            return Dated(entry.payload, what, lost="its time can never be known to within an hour")
        held_ns = (t_ms - self._offset_ms()) * _MS - self._clock.asleep_ns()  # on the loop's scale, for windows
        return Dated(entry.payload, what, t_ms, held_ns, error_s if error_s >= 1.0 else None)

    def _interval(self, boot: bytes, t_mono_ns: int, *, trusted: bool) -> tuple[int, float]:
        """Middle (UTC ms) and half width (s) of the time in which it was measured."""
        known, run_ms = self._known, t_mono_ns // _MS
        if trusted and boot == self._boot:
            return self._offset_ms() + run_ms, 0.0
        if known is None:
            return 0, float("inf")
        if boot == known.boot:
            t_ms = known.offset_ms + run_ms
            return t_ms, DRIFT * max(0, t_ms - known.last_ms) / 1000
        if not trusted:
            return 0, float("inf")
        runs = {one: run_ns // _MS for one, run_ns in self._runs.items() if one != self._boot}
        low_ms = max(known.last_ms, known.offset_ms + runs.pop(known.boot, 0))
        width_ms = self._offset_ms() - low_ms - sum(runs.values())
        before = list(runs)[: list(runs).index(boot)] if boot in runs else []
        t_ms = low_ms + sum(runs[one] for one in before) + run_ms + width_ms // 2
        return t_ms, abs(width_ms) / 2000


def boot_bytes(boot: str) -> bytes:
    """16 bytes of a boot id: of the kernel's UUID, or of any other text."""
    try:
        return uuid.UUID(boot).bytes
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, boot).bytes
