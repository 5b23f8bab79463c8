"""A broker that ends the connection at some messages: which they were is found out, and nobody else pays for it."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.sinks import Fate
from gateway.sinks.mqtt_parking import DEAD_AFTER_S, KEPT, PARK_MOST_S, PARK_S, TRIALS, Parking

TOPICS = ("north/raw", "south/raw", "south/1m")
WINDOW = 8


class World:
    """A broker, a shipper that offers what waits each five seconds in any order, and an outbox that obeys."""

    def __init__(self, *, bad_topics=(), bad=(), per_topic=6, cut=0.0, seed=0):
        self.parking = Parking()
        self.dice = random.Random(seed)
        self.cut = cut
        self.bad_topics, self.bad = set(bad_topics), set(bad)
        self.waiting = {n: TOPICS[n % len(TOPICS)] for n in range(per_topic * len(TOPICS))}
        self.delivered, self.dead = set(), {}
        self.now_s, self.losses = 0.0, 0

    def ends(self, key):
        return key in self.bad or self.waiting[key] in self.bad_topics

    def turn(self):
        """One connection: until it ends, or everything that may go has gone."""
        offered = list(self.waiting)
        self.dice.shuffle(offered)
        flight = []
        while offered or flight:
            while offered and len(flight) < WINDOW:
                key, topic = offered[0], self.waiting[offered[0]]
                refused = self.parking.refused(key, topic, now_s=self.now_s)
                if refused is not None:
                    offered.pop(0)
                    if refused[0] is Fate.DEAD:
                        self.dead[key] = self.now_s
                        del self.waiting[key]
                    continue
                ends = flight and (flight[0], key)
                if ends and any(self.parking.alone(one, self.waiting[one]) for one in ends):
                    break
                flight.append(offered.pop(0))
            if not flight:
                return
            key = flight[0]
            if self.ends(key) or self.dice.random() < self.cut:
                self.losses += 1
                self.parking.lost([(one, self.waiting[one]) for one in flight], now_s=self.now_s, why="0x87")
                return
            flight.pop(0)
            self.parking.answered(key)
            self.parking.taken(self.waiting.pop(key))
            self.delivered.add(key)

    def run(self, until_s):
        while self.waiting and self.now_s < until_s:
            self.turn()
            self.now_s += 5.0


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(TOPICS), max_size=2), st.sets(st.integers(0, 17), max_size=3), st.integers(0, 10_000))
@example({"north/raw", "south/raw"}, set(), 1)
@example(set(), {0}, 1)
def test_the_culprits_are_buried_and_nobody_else(bad_topics, bad, seed):
    world = World(bad_topics=bad_topics, bad=bad, seed=seed)
    guilty = {key for key in world.waiting if world.ends(key)}
    world.run(4 * DEAD_AFTER_S)
    assert world.waiting == {}
    assert set(world.dead) == guilty
    assert world.delivered == set(range(18)) - guilty
    assert all(at_s >= DEAD_AFTER_S for at_s in world.dead.values())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([0.01, 0.05, 0.1]))
def test_a_line_that_breaks_at_any_time_buries_nothing(seed, cut):
    world = World(cut=cut, seed=seed)
    world.run(3600.0)
    assert world.dead == {}
    assert world.delivered == set(range(18))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_one_forbidden_topic_costs_few_connections_and_no_time_of_others(seed):
    world = World(bad_topics={"north/raw"}, seed=seed)
    while len(world.delivered) < 12:
        world.turn()
        world.now_s += 5.0
    assert world.losses <= 8
    world.run(550.0)
    assert world.losses <= 8 + 4  # after 60, 120, 180 and then each 240 s it is tried again
    world.bad_topics.clear()  # the access list was corrected in time
    world.run(900.0)
    assert world.dead == {}
    assert world.waiting == {}


def test_what_is_refused_by_name_waits_and_is_buried_after_ten_minutes():
    parking = Parking()
    assert parking.denied("a/raw", 0.0)[0::2] == (Fate.AGAIN, True)
    assert parking.denied("a/raw", 1.0)[0::2] == (Fate.AGAIN, False)
    assert parking.refused(7, "a/raw", now_s=59.0)[0] is Fate.AGAIN
    assert parking.refused("a/raw", "a/raw", now_s=59.0) is None  # ours: it costs nothing to ask
    assert not parking.careful
    fates = [parking.denied("a/raw", now_s)[0] for now_s in range(60, 700, 60)]
    assert fates.index(Fate.DEAD) == DEAD_AFTER_S / PARK_S - 1
    parking.taken("a/raw")
    assert not parking.any


def test_ours_is_left_out_and_tried_again():
    parking = Parking()
    flight = [("a/meta", "a/meta")]
    for now_s in (0.0, 1.0, 2.0):
        assert parking.refused("a/meta", "a/meta", now_s=now_s) is None
        parking.lost(flight, now_s=now_s, why="closed")
    assert parking.refused("a/meta", "a/meta", now_s=3.0)[0] is Fate.AGAIN
    assert parking.refused("a/meta", "a/meta", now_s=2.0 + PARK_S) is None
    for trial in range(TRIALS + 2):
        parking.lost(flight, now_s=100.0 * trial, why="closed")
    assert parking.topics["a/meta"].until_s == 100.0 * (TRIALS + 1) + PARK_MOST_S


def test_its_memory_is_bounded():
    parking = Parking()
    for n in range(0, 3 * KEPT, 128):
        parking.lost([(n + k, "a/raw") for k in range(128)], now_s=float(n), why="closed")
    assert len(parking._losses) == KEPT
