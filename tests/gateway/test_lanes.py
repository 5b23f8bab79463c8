"""Lanes under random life: commits, answers, lost connections, crashes. Nothing lost, the ledger balances."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from made_records import raw, series, window
from ram_journal import RamJournal

import gateway.booking
import gateway.lanes
from gateway.codec import Codec
from gateway.config import Sink
from gateway.journal import Entry
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.selection import Selection
from gateway.sinks import Fate

WANTED = Sink(kind="memory", streams=("raw", "1m"), devices=("*", "!other"))


class Life(RuleBasedStateMachine):
    @initialize(rate=st.sampled_from([1.0, 30_000.0]), small=st.booleans(), poor=st.booleans())
    def birth(self, rate, small, poor=False):
        self.poor = poor  # its budget is mostly spent
        gateway.lanes.LIVE_MAX = 6 if small else 2000
        self.journal = RamJournal(segment=7)
        self.codec = Codec({})
        self.meter, self.other = series("meter"), series("other")
        for one in (self.meter, self.other):
            self.journal.mark(*self.codec.schema_marks(one))
        self.rate = rate
        self.small = small
        self.received = {}  # position -> the seq that arrived there last
        self.wanted = {}  # committed or not: position -> seq
        self.seq = 0
        self.connected = False
        self.out = set()  # handed out, no fate yet
        self.parked = set()
        self.deferred = set()  # positions of raw and amended records
        self.rationed = False
        self.live_ones = set()  # windows that came while the lanes stood open and rationed: these must go on
        self.holes = []  # what the journal told that it cannot read; it tells it again after a start
        self.start(Ledger(low=0))

    def start(self, ledger):
        self.lanes = Lanes(
            ledger=ledger, selection=Selection(WANTED, personal=frozenset()), journal=self.journal, codec=self.codec
        )
        self.lanes.rate = self.rate
        self.live_ones.clear()
        self.lanes.ration(self.poor)
        self.rationed = self.poor

    def settled(self, position):
        return self.lanes.ledger.settled(position, deferred=position in self.deferred)

    @rule(on=st.booleans())
    def ration(self, on):
        self.lanes.ration(on)
        self.live_ones = self.live_ones if on and self.rationed else set()
        self.rationed = on

    @rule(stream=st.sampled_from(["raw", "raw", "1m", "1m", "amended"]), which=st.booleans(), many=st.integers(1, 5))
    def append(self, stream, which, many):
        for _ in range(many):
            self.seq += 1
            one = self.meter if which else self.other
            if stream == "raw":
                record = raw(one, self.seq, self.seq)
            else:
                record = window(one, self.seq, self.seq, rev=int(stream == "amended"))
            position = self.journal.append(*self.codec.encode(record))
            if stream != "1m":
                self.deferred.add(position)
            self.lanes.offer(position, record)
            if which:
                self.wanted[position] = self.seq
                if self.rationed and self.lanes.state in {"live", "both"} and stream == "1m" and not self.small:
                    self.live_ones.add(position)

    @rule()
    def commit(self):
        self.journal.mark("sink", self.lanes.state_bytes())
        self.journal.commit_now()

    @rule()
    def connect(self):
        if not self.connected:
            self.lanes.begin()
            self.connected = True

    @rule()
    def lose(self):
        self.lanes.abandon()
        self.connected = False
        self.out.clear()
        self.parked.clear()
        self.live_ones.clear()

    def hand_out(self, *, live, limit):
        parcels = self.lanes.live(limit) if live else self.lanes.backlog(limit)
        for parcel in parcels:
            assert parcel.record.device == "meter"
            assert not self.settled(parcel.position)
            assert not self.rationed or parcel.position not in self.deferred
            assert parcel.record.stream == "raw" or parcel.position < self.journal.committed
            assert parcel.position not in self.out | self.parked
            self.out.add(parcel.position)
            self.received[parcel.position] = parcel.record.seq
        return parcels

    @rule(live=st.booleans(), limit=st.integers(1, 7))
    def take(self, live, limit):
        if self.connected:
            self.hand_out(live=live, limit=limit)

    @rule(data=st.data(), fate=st.sampled_from([Fate.DELIVERED, Fate.DELIVERED, Fate.UNHEARD, Fate.DEAD]))
    def answer(self, data, fate):
        if self.lanes.unsettled:
            position = data.draw(st.sampled_from(sorted(self.lanes.unsettled)))
            assert self.lanes.settle(position, fate) is not None
            assert self.lanes.settle(position, fate) is None
            self.out.discard(position)

    @rule(data=st.data())
    def again(self, data):
        if self.lanes.unsettled:
            position = data.draw(st.sampled_from(sorted(self.lanes.unsettled)))
            assert self.lanes.settle(position, Fate.AGAIN) is not None
            self.out.discard(position)
            self.parked.add(position)

    @rule(data=st.data())
    def unpark(self, data):
        if self.parked:
            position = data.draw(st.sampled_from(sorted(self.parked)))
            assert self.lanes.unpark(position)
            self.parked.discard(position)
            self.live_ones.discard(position)

    @rule()
    def leave_the_parked_in_the_journal(self):
        self.lanes.forget_parked()
        self.live_ones -= self.parked
        self.parked.clear()

    @rule()
    def look_again(self):
        if self.connected:
            self.lanes.rescan()

    @rule()
    def full(self):
        if self.journal.first + 7 <= self.journal.committed:
            for entry in self.journal.drop_oldest():
                record = self.codec.decode(entry.kind, entry.payload)
                lost = self.lanes.dropped(entry.position, record)
                assert lost <= (entry.position in self.wanted)
                if lost:
                    self.wanted.pop(entry.position)
                for place in (self.out, self.parked, self.live_ones):
                    place.discard(entry.position)

    @rule()
    def damage(self):
        """The journal can no longer read a stretch in the middle."""
        gone = [entry.position for entry in self.journal.entries[3:6]]
        if len(gone) == 3 and gone[-1] < self.journal.committed:
            undone = {p for p in gone if p in self.wanted and not self.settled(p)}
            del self.journal.entries[3:6]
            self.holes.append((gone[0], gone[-1] + 1))
            assert self.lanes.write_off((gone[0], gone[-1] + 1)) == len(undone)
            self.wanted = {p: seq for p, seq in self.wanted.items() if p not in undone}
            self.out -= set(gone)
            self.live_ones -= set(gone)
            self.parked -= set(gone)

    @rule(torn=st.booleans(), data=st.data())
    def crash(self, torn, data):
        if torn:  # entries of the last commit stay, its marks do not
            self.journal.committed = data.draw(st.integers(self.journal.committed, self.journal.next))
        self.journal.crash()
        self.wanted = {position: seq for position, seq in self.wanted.items() if position < self.journal.committed}
        self.received = {position: seq for position, seq in self.received.items() if position < self.journal.committed}
        blob = self.journal.marks.get("sink")
        self.start(Ledger(low=0) if blob is None else Ledger.from_bytes(blob))
        self.wanted |= self.selected_in_the_journal()
        if blob is None:
            self.lanes.recount()
        else:
            self.lanes.resume()
            self.lanes.write_off(*self.holes)
        self.wanted = {p: seq for p, seq in self.wanted.items() if p >= self.journal.first}
        self.connected = False
        self.out.clear()
        self.parked.clear()

    def selected_in_the_journal(self):
        found = {}
        for entry in self.journal.entries:
            record = self.codec.decode(entry.kind, entry.payload)
            if record.device == "meter":
                found[entry.position] = record.seq
        return found

    @invariant()
    def balances(self):
        if hasattr(self, "lanes"):
            undone = {position for position in self.wanted if not self.settled(position)}
            assert self.lanes.ledger.waiting == len(undone)
            assert set(self.lanes.unsettled) == self.out

    def teardown(self):
        if not hasattr(self, "lanes"):
            return
        if self.connected and self.rationed and self.live_ones:
            self.commit()
            while parcels := self.hand_out(live=True, limit=5) + self.hand_out(live=False, limit=5):
                for parcel in parcels:
                    self.lanes.settle(parcel.position, Fate.DELIVERED)
                    self.out.discard(parcel.position)
            for position in self.live_ones - self.out - self.parked:
                assert self.settled(position)
        self.lose()
        self.lanes.ration(False)
        self.rationed = False
        self.commit()
        self.connect()
        for _ in range(2000):
            parcels = self.hand_out(live=True, limit=5) + self.hand_out(live=False, limit=5)
            for parcel in parcels:
                self.lanes.settle(parcel.position, Fate.DELIVERED)
                self.out.discard(parcel.position)
            if not parcels and not self.lanes.ledger.waiting:
                break
        assert self.lanes.ledger.waiting == 0
        assert self.lanes.state == "live"
        assert {p: s for p, s in self.wanted.items() if self.received.get(p) != s} == {}
        gateway.lanes.LIVE_MAX = 2000


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_weeks_of_a_spent_budget_leave_a_small_ledger_and_all_raw_waits():
    life = Life()
    life.birth(rate=30_000.0, small=False)
    life.connect()
    life.lanes.backlog(1)
    life.ration(on=True)
    for _ in range(1000):
        life.append(stream="raw", which=True, many=2)
        life.append(stream="raw", which=False, many=1)
        life.append(stream="1m", which=True, many=1)
        life.commit()
        for parcel in life.hand_out(live=True, limit=9):
            life.lanes.settle(parcel.position, Fate.DELIVERED)
            life.out.discard(parcel.position)
    assert life.lanes.ledger.counts["delivered"] == 1000
    assert life.lanes.ledger.waiting == 2000
    assert len(life.lanes.state_bytes()) < 600
    life.crash(torn=False, data=None)
    life.teardown()
    assert life.lanes.ledger.counts["delivered"] == 3000
    assert life.lanes.ledger.done == []


def test_a_sink_that_is_away_keeps_no_range_per_record_that_is_not_its_own():
    life = Life()
    life.birth(rate=30_000.0, small=False)
    for _ in range(500):
        life.append(stream="1m", which=True, many=1)
        life.append(stream="raw", which=False, many=1)
    assert len(life.lanes.ledger.done) < 3
    life.teardown()


def test_a_short_backlog_goes_first_and_in_order():
    life = Life()
    life.birth(rate=30_000.0, small=False)
    life.append(stream="raw", which=True, many=5)
    life.commit()
    life.connect()
    assert life.lanes.state == "catching-up"
    life.append(stream="raw", which=True, many=2)
    assert life.lanes.live(10) == []
    first = life.lanes.backlog(10)
    assert [parcel.record.seq for parcel in first] == [1, 2, 3, 4, 5]
    assert all(parcel.record.late for parcel in first)
    assert life.lanes.backlog(10) == []
    then = life.lanes.live(10)
    assert [parcel.record.seq for parcel in then] == [6, 7]
    assert not any(parcel.record.late for parcel in then)
    assert life.lanes.state == "live"


def test_a_long_backlog_runs_beside_live():
    life = Life()
    life.birth(rate=1.0, small=False)
    life.append(stream="raw", which=True, many=5)
    life.commit()
    life.connect()
    assert life.lanes.state == "both"
    life.append(stream="raw", which=True, many=1)
    assert [parcel.record.seq for parcel in life.lanes.live(10)] == [6]
    assert [parcel.record.seq for parcel in life.lanes.backlog(3)] == [1, 2, 3]


def begun():
    """Lanes that are open, over an empty journal."""
    journal, codec, meter = RamJournal(), Codec({}), series("meter")
    journal.mark(*codec.schema_marks(meter))
    lanes = Lanes(
        ledger=Ledger(low=0), selection=Selection(WANTED, personal=frozenset()), journal=journal, codec=codec
    )  # fmt: skip
    lanes.begin()
    assert (lanes.backlog(9), lanes.state) == ([], "live")
    return lanes, journal, codec, meter


def amended(lanes, journal, codec, meter, *, revs):
    for rev in revs:
        record = window(meter, 0, 1, rev=rev)
        lanes.offer(journal.append(*codec.encode(record)), record)
    journal.commit_now()


def out(parcels):
    return [(parcel.position, parcel.record.rev) for parcel in parcels]


def test_a_higher_revision_waits_for_a_lower_one_that_is_tried_again():
    lanes, journal, codec, meter = begun()
    amended(lanes, journal, codec, meter, revs=(0, 1))
    assert out(lanes.live(9)) == [(0, 0)]
    lanes.settle(0, Fate.AGAIN)
    assert (lanes.live(9), lanes.live_waiting) == ([], 0)
    assert lanes.unpark(0)
    assert out(lanes.live(9)) == [(0, 0)]
    assert lanes.live(9) == []
    lanes.settle(0, Fate.DELIVERED)
    assert out(lanes.live(9)) == [(1, 1)]


class Amending:
    """Lanes with windows that are amended again and again; the platform keeps what comes last."""

    def __init__(self, dice):
        self.dice = dice
        self.lanes, self.journal, self.codec, self.meter = begun()
        self.highest, self.kept, self.hand = {}, {}, []

    def append(self):
        start = self.dice.randrange(4)
        self.highest[start] = self.highest.get(start, -1) + 1
        record = window(self.meter, 60_000 * start, start, rev=self.highest[start])
        self.lanes.offer(self.journal.append(*self.codec.encode(record)), record)
        if self.dice.random() < 0.7:
            self.journal.commit_now()

    def take(self):
        self.hand += self.lanes.backlog(self.dice.randrange(1, 4)) + self.lanes.live(self.dice.randrange(1, 4))

    def settle(self):
        if self.hand:
            self.deliver(self.hand.pop(self.dice.randrange(len(self.hand))))

    def deliver(self, parcel):
        self.kept[parcel.record.t_ms // 60_000] = parcel.record.rev
        self.lanes.settle(parcel.position, Fate.DELIVERED)

    def refuse(self):
        if self.hand:
            self.lanes.settle(self.hand.pop(self.dice.randrange(len(self.hand))).position, Fate.AGAIN)

    def unpark(self):
        for position in list(self.lanes._parked)[:1]:
            self.lanes.unpark(position)

    def lose(self):
        self.hand.clear()
        self.lanes.abandon()
        self.lanes.begin()

    def forget(self):
        self.lanes.forget_parked()
        self.lanes.rescan()

    def drain(self):
        self.journal.commit_now()
        for _ in range(400):
            for parcel in (*self.hand, *self.lanes.backlog(9), *self.lanes.live(9)):
                self.deliver(parcel)
            self.hand.clear()
            self.unpark()
            self.lanes.rescan()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_highest_revision_goes_last(seed):
    dice = random.Random(seed)
    life = Amending(dice)
    acts = (
        life.append,
        life.append,
        life.take,
        life.take,
        life.settle,
        life.refuse,
        life.unpark,
        life.lose,
        life.forget,
    )
    for _ in range(200):
        dice.choice(acts)()
    life.drain()
    assert life.kept == life.highest
    assert life.lanes.ledger.waiting == 0


def test_one_that_waits_for_its_lower_revision_holds_up_no_other_device():
    lanes, journal, codec, meter = begun()
    amended(lanes, journal, codec, meter, revs=(0, 1))
    assert out(lanes.live(9)) == [(0, 0)]
    lanes.settle(0, Fate.AGAIN)  # for ever
    other = series("another")
    codec.schema_marks(other)
    amended(lanes, journal, codec, other, revs=(0, 1))
    assert out(lanes.live(9)) == [(2, 0)]
    lanes.settle(2, Fate.DELIVERED)
    assert out(lanes.live(9)) == [(3, 1)]


def test_a_higher_revision_waits_for_what_was_left_behind_in_the_journal():
    lanes, journal, codec, meter = begun()
    amended(lanes, journal, codec, meter, revs=(0,))
    assert out(lanes.live(9)) == [(0, 0)]
    lanes.settle(0, Fate.AGAIN)
    lanes.forget_parked()
    amended(lanes, journal, codec, meter, revs=(1,))
    assert lanes.live(9) == []
    assert lanes.rescan()
    assert out(lanes.backlog(9) + lanes.live(9)) == [(0, 0)]
    lanes.settle(0, Fate.DELIVERED)
    assert out(lanes.live(9)) == [(1, 1)]


def test_in_the_backlog_a_higher_revision_waits_for_what_was_left_behind():
    lanes, journal, codec, meter = begun()
    lanes.abandon()
    amended(lanes, journal, codec, meter, revs=(0,))
    for number in range(4000):
        record = raw(meter, number, number + 1)
        lanes.offer(journal.append(*codec.encode(record)), record)
    amended(lanes, journal, codec, meter, revs=(1,))
    lanes.begin()
    assert out(lanes.backlog(1)) == [(0, 0)]
    lanes.settle(0, Fate.AGAIN)
    lanes.forget_parked()
    sent = []
    for _ in range(100):
        parcels = lanes.backlog(200) + lanes.live(200)
        sent += [position for position, rev in out(parcels) if position in {0, 4001}]
        for parcel in parcels:
            lanes.settle(parcel.position, Fate.DELIVERED)
        lanes.rescan()
    assert sent == [0, 4001]
    assert lanes.ledger.waiting == 0


def test_in_the_backlog_too_a_higher_revision_waits():
    lanes, journal, codec, meter = begun()
    lanes.abandon()
    amended(lanes, journal, codec, meter, revs=(0, 1, 2))
    lanes.begin()
    assert out(lanes.backlog(9)) == [(0, 0)]
    lanes.settle(0, Fate.AGAIN)
    assert out(lanes.backlog(9) + lanes.live(9)) == []
    assert lanes.unpark(0)
    for position in range(3):
        assert out(lanes.backlog(9) + lanes.live(9)) == [(position, position)]
        lanes.settle(position, Fate.DELIVERED)
    assert lanes.ledger.waiting == 0


def test_more_than_memory_holds_goes_back_to_the_journal(monkeypatch):
    monkeypatch.setattr(gateway.lanes, "LIVE_MAX", 4)
    life = Life()
    life.birth(rate=30_000.0, small=False)
    life.connect()
    life.lanes.backlog(1)
    life.append(stream="raw", which=True, many=5)
    life.commit()
    got = []
    while parcels := life.lanes.live(3) or life.lanes.backlog(3):
        got += [parcel.record.seq for parcel in parcels]
    assert got == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("selected", [True, False])
def test_an_entry_whose_schema_is_gone_is_dead_to_those_who_selected_it_alone(selected):
    life = Life()
    life.birth(rate=30_000.0, small=False)
    life.append(stream="raw", which=selected, many=1)
    life.commit()
    first = life.journal.read(0, limit_bytes=1)[0]
    life.journal.entries[0] = Entry(first.position, first.kind, b"\xff" * 4 + first.payload[4:])
    life.append(stream="raw", which=True, many=1)
    life.commit()
    life.connect()
    assert [parcel.record.seq for parcel in life.lanes.backlog(10)] == [2]
    assert life.lanes.backlog(10) == []
    assert life.lanes.ledger.counts["dead"] == selected
    assert life.lanes.ledger.waiting == 1
    again = Lanes(ledger=Ledger(low=0), selection=life.lanes._selection, journal=life.journal, codec=life.codec)
    again.recount()
    again.begin()
    assert [parcel.record.seq for parcel in again.backlog(10)] == [2]
    assert again.backlog(10) == []
    assert (again.ledger.selected, again.ledger.waiting, again.ledger.counts["dead"]) == (1, 1, 0)


def test_what_a_start_has_not_counted_yet_is_not_booked_as_unreadable(monkeypatch):
    """A long recount takes all for selected at first; an entry without a schema says nothing of that guess."""
    monkeypatch.setattr(gateway.booking, "COUNT_NOW", 3)
    life = Life()
    life.birth(rate=30_000.0, small=False)
    life.append(stream="raw", which=False, many=4)
    life.append(stream="raw", which=True, many=2)
    first = life.journal.entries[0]
    life.journal.entries[0] = Entry(first.position, first.kind, b"\xff" * 4 + first.payload[4:])
    life.commit()
    again = Lanes(ledger=Ledger(low=0), selection=life.lanes._selection, journal=life.journal, codec=life.codec)
    again.recount()
    assert again.uncounted is not None
    again.begin()
    for _ in range(3):
        for parcel in again.backlog(10):
            again.settle(parcel.position, Fate.DELIVERED)
    assert again.ledger.counts["dead"] == 0
    again.book_counted(2)
    assert again.backlog(10) == []
    assert (again.ledger.selected, again.ledger.waiting, again.ledger.counts["dead"]) == (2, 0, 0)
