"""5,000 gateways lose one broker in the same second: when do they come back? The shipper's own waits, no sockets."""

import random
from collections import Counter

import pytest

from gateway.shipper import LONGEST_WAIT_S, wait_s

GATEWAYS = 5000


def comebacks(outage_s, *, seed, asked_s=None, wait=wait_s):
    """When each gateway connects, in s after the broker is back; it was away from 0 to `outage_s`."""
    dice = random.Random(seed)
    found = []
    for _ in range(GATEWAYS):
        at_s, failures = 0.0, 0
        while at_s < outage_s or not failures:
            failures += 1
            at_s += wait(failures, asked_s=asked_s, dice=dice.uniform)
        found.append(at_s - outage_s)
    return found


def peak(found):
    """The most connections in any second, by tenths, so that no second is cut in two."""
    tenths = Counter(int(at_s * 10) for at_s in found)
    return max(sum(tenths[begin + i] for i in range(10)) for begin in range(-10, max(tenths) + 1))


@pytest.mark.parametrize(("outage_s", "most"), [(10.0, 1000), (60.0, 500), (600.0, 430), (3600.0, 430)])
def test_after_an_outage_they_come_back_spread(outage_s, most):
    found = comebacks(outage_s, seed=int(outage_s))
    print(f"outage {outage_s:.0f} s: peak {peak(found)} connections/s, last after {max(found):.1f} s")
    assert peak(found) <= most
    assert max(found) <= LONGEST_WAIT_S


def test_a_wait_that_all_are_asked_for_does_not_bring_them_back_together():
    found = comebacks(300.0, seed=5, asked_s=60.0)
    assert peak(found) <= 1000
    together = comebacks(300.0, seed=5, wait=lambda failures, **_: min(LONGEST_WAIT_S, 0.5 * 2.0**failures))
    assert peak(together) == GATEWAYS  # what it would be without the dice
