"""The planner against brute force, its limits, and the budget of a bus."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProfileError
from drivers.line import line
from drivers.modbus.plan import Cost, Load, block_of, budget, cost, plan
from drivers.profile import WORDS, Limits, Where


def partitions(items):
    """All ways to put items into groups, neighbours or not."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for parts in partitions(rest):
        yield [[first], *parts]
        for n in range(len(parts)):
            yield [*parts[:n], [first, *parts[n]], *parts[n + 1 :]]


def brute(wheres, limits, price):
    best = None
    for table in {where.table for where in wheres}:
        items = [(w.address, w.address + w.count, n) for n, w in enumerate(wheres) if w.table == table]
        least = None
        for groups in partitions(items):
            blocks = [block_of(table, group, limits=limits) for group in groups]
            if None not in blocks:
                spent = sum(price.of(block.data_bytes) for block in blocks)
                least = spent if least is None else min(least, spent)
        if least is None:
            return None
        best = least if best is None else best + least
    return best


def random_map(chance):
    wheres = []
    for _ in range(chance.randint(1, 6)):
        table = chance.choice(["input", "input", "holding", "coil"])
        kind = "bit" if table == "coil" else chance.choice([kind for kind in WORDS if kind != "bit"])
        wheres.append(Where(table, chance.randrange(40), kind))
    limits = Limits(
        max_registers=chance.choice([4, 8, 10, 20, 125]),
        even_start=chance.random() < 0.3,
        hole=chance.random() < 0.7,
        no_go=((chance.choice(["input", "holding"]), n := chance.randrange(40), n + chance.randrange(3)),)
        if chance.random() < 0.4
        else (),
    )
    return wheres, limits, Cost(chance.choice([0.0, 0.01, 0.1, 1.0]), chance.choice([0.0, 0.001, 0.02]))


def check(wheres, limits, price):
    least = brute(wheres, limits, price)
    try:
        blocks = plan(wheres, limits, price=price)
    except ProfileError:
        assert least is None
        return
    assert least is not None
    assert sum(price.of(block.data_bytes) for block in blocks) == pytest.approx(least)
    assert sorted(n for block in blocks for n in block.values) == list(range(len(wheres)))
    for block in blocks:
        for n in block.values:
            assert block.table == wheres[n].table
            assert block.address <= wheres[n].address
            assert wheres[n].address + wheres[n].count <= block.address + block.count


@given(st.randoms(use_true_random=False))
def test_the_plan_is_as_good_as_brute_force(chance):
    check(*random_map(chance))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_plan_is_as_good_as_brute_force_on_10000_maps():
    chance = random.Random(4)
    for _ in range(10_000):
        check(*random_map(chance))


def test_holes_are_read_where_that_is_cheaper():
    wheres = [Where("input", 0, "f32"), Where("input", 40, "f32")]
    slow = cost(line("1200 8E1"), Limits(), reply_s=0.02)
    fast = cost(line("115200 8N1"), Limits(), reply_s=0.02)
    assert [block.count for block in plan(wheres, Limits(), price=slow)] == [2, 2]
    assert [block.count for block in plan(wheres, Limits(), price=fast)] == [42]
    assert [block.count for block in plan(wheres, Limits(), price=cost(None, Limits()))] == [42]


def test_an_sdm630_is_read_in_the_blocks_its_limits_allow():
    wheres = [Where("input", address, "f32") for address in (*range(0, 0x80, 2), *range(0x156, 0x180, 2))]
    limits = Limits(max_registers=80, even_start=True)
    blocks = plan(wheres, limits, price=cost(line("9600 8N1"), limits))
    assert all(block.count <= 80 and block.address % 2 == 0 for block in blocks)
    assert len(blocks) == 3
    assert all(a.address + a.count <= b.address for a, b in pairwise(blocks))


def test_a_value_in_a_forbidden_range_cannot_be_planned():
    with pytest.raises(ProfileError):
        plan([Where("input", 5, "u32")], Limits(no_go=(("input", 6, 6),)), price=Cost(1, 1))


def test_the_budget_of_a_bus():
    settings = line("9600 8N1")
    limits = Limits(timeout_ms=1000)
    blocks = plan([Where("input", n, "f32") for n in range(0, 60, 2)], limits, price=cost(settings, limits))
    loads = [Load(f"meter-{n}", blocks, every_s=1.0, limits=limits) for n in range(4)]
    found = budget(loads, settings)
    char_s = 10 / 9600
    one_s = (8 + 5 + 120) * char_s + 2 * 3.5 * char_s + 0.02
    assert found.cycle_s == pytest.approx(4 * one_s)
    assert found.load == pytest.approx(4 * one_s)
    assert found.dead_cycle_s == pytest.approx(3 * one_s + 1.0)
    assert found.dead_load == pytest.approx(3 * one_s + 0.02)
    assert found.worst == "meter-0"
    assert budget([], settings).load == 0
