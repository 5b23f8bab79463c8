"""What `raw_every` leaves out is named, hour by hour, with exact numbers; also over a crash."""

from made_records import raw, series
from msgspec.structs import replace
from ram_journal import RamJournal

from gateway.codec import Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.sampling import HOUR_MS, Sampling
from gateway.selection import Selection
from gateway.sinks import Fate

T0_MS = 1_795_000_000_000 // HOUR_MS * HOUR_MS + 250  # polls begin a quarter behind the second
CHOSEN = Sink(kind="memory", streams=("raw",), raw_every="10s", devices=("meter",))


class Life:
    def __init__(self):
        self.journal, self.codec = RamJournal(), Codec({})
        self.meter, self.other = series("meter"), series("other")
        for one in (self.meter, self.other):
            self.journal.mark(*self.codec.schema_marks(one))
        self.told, self.seq, self.now_ms = [], 0, T0_MS
        self.start(Ledger(low=0))

    def start(self, ledger, options=CHOSEN):
        selection = Selection(options, personal=frozenset())
        self.ledger = ledger
        self.lanes = Lanes(ledger=ledger, selection=selection, journal=self.journal, codec=self.codec)
        self.sampling = Sampling("city", ledger=ledger, tell=self.told.append, now_ms=lambda: self.now_ms)
        self.sampling.recall(self.journal, self.codec, selection=selection)
        self.lanes.left_out = self.sampling.note

    def second(self):
        self.seq += 1
        for one in (self.meter, self.other):
            record = raw(one, self.now_ms, self.seq)
            self.lanes.offer(self.journal.append(*self.codec.encode(record)), record)
        self.now_ms += 1000
        self.journal.mark("sink:city", self.lanes.state_bytes())
        self.journal.commit_now()
        self.sampling.tell(self.journal.next)

    def crash(self):
        self.journal.crash()
        self.start(Ledger.from_bytes(self.journal.marks["sink:city"]))
        self.lanes.resume()


def test_an_hour_is_named_with_exact_numbers():
    life = Life()
    for _ in range(3600):
        assert not life.told
        life.second()
    [gap] = life.told
    assert (gap.device, gap.type, gap.code) == ("meter", "gap", "CG-SNK-03")
    assert gap.body["reason"] == "sampling"
    assert (gap.body["n"], gap.body["seq"]) == (3240, [2, 3600])
    assert life.ledger.counts["sampled"] == 3240
    assert life.ledger.waiting == 360


def test_a_crash_in_the_middle_changes_no_number():
    life = Life()
    for number in range(2 * 3600):
        if number in {1, 1234, 3599, 3601, 5000}:
            life.crash()
        life.second()
    assert sum(gap.body["n"] for gap in life.told) == 6480 == life.ledger.counts["sampled"]
    assert [gap.body["seq"] for gap in life.told] == [[2, 3600], [3602, 7200]]
    assert len({gap.id for gap in life.told}) == 2


def test_what_went_before_the_option_was_set_is_not_named():
    """Two hours without `raw_every`, all delivered; then a start with it: nothing was left out before."""
    life = Life()
    plain = replace(CHOSEN, raw_every=None)
    life.start(Ledger(low=0), plain)
    life.lanes.begin()
    for _ in range(7200):
        life.second()
        for parcel in life.lanes.backlog(10) + life.lanes.live(10):
            life.lanes.settle(parcel.position, Fate.DELIVERED)
    life.told.clear()
    life.journal.crash()
    life.start(Ledger.from_bytes(life.journal.marks["sink:city"]))
    life.lanes.resume()
    for _ in range(3600):
        life.second()
    [gap] = life.told
    assert gap.body["seq"][0] > 7200
    assert gap.body["n"] == life.ledger.counts["sampled"] == 3240
