"""A desk for alarms: real rules over real profiles, a clock turned by hand, and the events they say."""

import itertools

import msgspec
from ram_journal import RamJournal

from drivers.sample import Code
from gateway.alarms import Alarms
from gateway.clock import FakeClock
from gateway.config import Config
from gateway.inventory import inventory
from gateway.reading import Aggregate, Event, Indicator, Reading
from gateway.record import Record

T0_MS = 1_795_000_500_000 // 900_000 * 900_000  # a quarter of an hour begins
SITE = {
    "schema": 1,
    "gateway": {"id": "g", "city": "khon-kaen", "name": {"en": "Cabinet", "th": "ตู้"}, "timezone": "Asia/Bangkok"},
    "bus": {
        "one": {"kind": "serial", "port": "/dev/ttyS1"},
        "two": {"kind": "serial", "port": "/dev/ttyS2"},
        "three": {"kind": "serial", "port": "/dev/ttyS3"},
    },
    "device": {
        "meter": {"bus": "one", "profile": "eastron-sdm630", "unit": 1, "every": "1s", "name": {"en": "Meter"}},
        "feeder": {"bus": "one", "profile": "eastron-sdm120", "unit": 2, "every": "2s"},
        "canal": {"bus": "two", "profile": "geolux-lx-80", "unit": 1, "every": "10s", "name": {"en": "Canal"}},
        "sign": {"bus": "three", "profile": "omnipresense-ops243"},
    },
}


class Desk:
    """`say` gives a reading, `window` a figure, `wait` lets time pass with ticks; `events` is what was told.

    `silence`: whether the built-in rule `absent` is there; by default where no other rule is given.
    """

    def __init__(self, alarm=None, *, device=None, journal=None, clock=None, silence=None):
        rules = dict(alarm or {})
        if not (rules == {} if silence is None else silence) and "absent" not in rules:
            rules["absent"] = {"devices": ["!*"], "absent": "60s"}
        site = {**SITE, "device": {**SITE["device"], **(device or {})}, "alarm": rules}
        self.config = msgspec.convert(site, Config)
        self.items = inventory(self.config)
        self.series = {one.id: one for item in self.items for one in item.series.values()}
        self.clock = clock or FakeClock(wall_ms=T0_MS, mono_ns=10**12)
        self.journal = journal or RamJournal()
        self.events = []
        self.dated = True
        self.alarms = Alarms(
            self.config, self.items, clock=self.clock, journal=self.journal, tell=self.events.append,
            dated=lambda: self.dated,
        )  # fmt: skip
        self._seq = itertools.count(1)

    def _note(self, device, stream, t_ms, body):
        self.alarms.note(0, Record(device, stream, t_ms, "00000001-0000", next(self._seq), body))

    def say(self, ident, values=(), code=0, *, age_s=0.0, codes=None, **points):
        """A reading of now: the named points, all others 1.0; `code` for all of them, or `codes`."""
        series = self.series[ident]
        given = dict(values) | points
        numbers = tuple(float(given.get(point.name, 1.0)) for point in series.points)
        now_ns = self.clock.mono_ns() - int(age_s * 1e9)
        t_ms = self.clock.wall_ms() - int(age_s * 1000)
        self._note(ident, "raw", t_ms, Reading(series, t_ms, now_ns, numbers, codes or (int(code),) * len(numbers)))

    def fail(self, ident):
        self.say(ident, code=Code.TIMEOUT)

    def window(self, ident, stream, figure, value, *, rev=0):
        series, end = self.series[ident], self.clock.wall_ms()
        many = len(series.points)
        body = Aggregate(series, stream, end - 60_000, end, 1, 1.0, ((),) * many, (0,) * many, ((),) * many,
                         (Indicator(figure, value, "rule"),), rev)  # fmt: skip
        self._note(ident, stream, body.start_ms, body)

    def link(self, bus, state):
        ident = f"link-{bus}-CG-BUS-01"
        self._note("_gateway", "event", self.clock.wall_ms(),
                   Event("_gateway", self.clock.wall_ms(), ident, "link", "CG-BUS-01", state))  # fmt: skip

    def wait(self, seconds, *, talking=(), step_s=1.0):
        """Time passes; the devices in `talking` go on giving values."""
        for _ in range(round(seconds / step_s)):
            self.clock.now_ns += int(step_s * 1e9)
            for ident in talking:
                self.say(ident)
            self.alarms.tick()

    def told(self):
        """What was said since the last call: (id, state, level)."""
        found = [(event.id, event.state, event.level) for event in self.events]
        self.events.clear()
        return found
