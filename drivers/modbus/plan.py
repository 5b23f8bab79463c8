"""The block planner: which reads fetch a set of values in the least time on the wire, and what a whole bus costs.

A read costs a fixed time (request, two silences, the unit's reply time, turnaround, envelope of the answer) and a time
per register. Reading a hole is right as long as its registers cost less than one more read. Values are never split,
tables never mixed, forbidden ranges never touched. Partitions into runs of neighbours are searched by dynamic
programming; since a longer read never costs less, no other partition can be better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.errors import ProfileError
from drivers.line import LineSettings
from drivers.modbus.envelope import BIT_TABLES
from drivers.modbus.unit import DEAD_SHARE
from drivers.profile import Limits, Where

REQUEST_CHARS: Final = 8
ENVELOPE_CHARS: Final = 5
MAX_BITS: Final = 2000
MAX_REGISTERS: Final = 125
TCP_BYTE_S: Final = 1e-7  # Ethernet at 100 Mbit/s: next to nothing, so that of equal plans the shorter one wins
REPLY_S: Final = 0.02  # a usual meter; replaced by what the master has learned


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the wire: `block_s` for each read, `byte_s` for each byte of data in its answer."""

    block_s: float
    byte_s: float

    def of(self, data_bytes: int) -> float:
        """One read whose answer carries `data_bytes`."""
        return self.block_s + data_bytes * self.byte_s


def cost(line: LineSettings | None, limits: Limits, *, reply_s: float = REPLY_S) -> Cost:
    """The cost model of a unit on a serial line, or over TCP (`line` None). `reply_s`: the unit's usual reply time."""
    pause_s = reply_s + limits.turnaround_ms / 1000
    if line is None:
        return Cost(pause_s, TCP_BYTE_S)
    return Cost(pause_s + 2 * line.t35_s + (REQUEST_CHARS + ENVELOPE_CHARS) * line.char_s, line.char_s)


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers or bits of `table` from `address`; `values` are the indices of what it fetches."""

    table: str
    address: int
    count: int
    values: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of data in its answer."""
        return _data_bytes(self.table, self.count)


def _data_bytes(table: str, count: int) -> int:
    return (count + 7) // 8 if table in BIT_TABLES else 2 * count


def plan(wheres: Sequence[Where], limits: Limits, *, price: Cost) -> tuple[Block, ...]:
    """The cheapest reads that fetch all `wheres` within `limits`, by table and address.

    Raises:
        ProfileError: a value cannot be read at all (in a forbidden range, or wider than a read may be).
    """
    blocks: list[Block] = []
    for table in sorted({where.table for where in wheres}):
        items = sorted(
            ((where.address, where.address + where.count, n) for n, where in enumerate(wheres) if where.table == table)
        )
        blocks += _best(table, items, limits=limits, price=price)
    return tuple(blocks)


def _best(table: str, items: Sequence[tuple[int, int, int]], *, limits: Limits, price: Cost) -> Iterable[Block]:
    """Least cost of the first j items, for every j; each step adds one block of neighbours."""
    best: list[tuple[float, int]] = [(0.0, 0)]
    for j in range(1, len(items) + 1):
        found: tuple[float, int] | None = None
        end = 0
        for i in range(j - 1, -1, -1):
            end = max(end, items[i][1])
            span = _span(table, items[i][0], end, limits=limits)
            if span is None or not (limits.hole or _gapless(items[i:j])):
                if items[j - 1][0] - items[i][0] > MAX_BITS:
                    break
                continue
            spent = best[i][0] + price.of(_data_bytes(table, span[1]))
            if found is None or spent < found[0]:
                found = (spent, i)
        if found is None:
            raise ProfileError(f"{table} {items[j - 1][0]} cannot be read within the device's limits")
        best.append(found)
    blocks: list[Block] = []
    j = len(items)
    while j:
        i = best[j][1]
        last = block_of(table, items[i:j], limits=limits)
        if last is not None:
            blocks.append(last)
        j = i
    return reversed(blocks)


def block_of(table: str, items: Sequence[tuple[int, int, int]], *, limits: Limits) -> Block | None:
    """One read over all `items` (begin, end, index), or None where the limits forbid it."""
    span = _span(table, min(item[0] for item in items), max(item[1] for item in items), limits=limits)
    if span is None or not (limits.hole or _gapless(items)):
        return None
    return Block(table, *span, tuple(item[2] for item in items))


def _span(table: str, begin: int, end: int, *, limits: Limits) -> tuple[int, int] | None:
    """Address and count of a read of [begin, end), or None where the limits forbid it."""
    if limits.even_start and table not in BIT_TABLES:
        begin -= begin % 2
        end += (end - begin) % 2
    most = min(MAX_BITS, 16 * limits.max_registers) if table in BIT_TABLES else min(MAX_REGISTERS, limits.max_registers)
    if end - begin > most or end > 0x10000:
        return None
    if any(where == table and first < end and last >= begin for where, first, last in limits.no_go):
        return None
    return begin, end - begin


def _gapless(items: Sequence[tuple[int, int, int]]) -> bool:
    reach: int | None = None
    for begin, end, _ in sorted(items):
        if reach is not None and begin > reach:
            return False
        reach = end if reach is None else max(reach, end)
    return True


@dataclass(frozen=True, slots=True)
class Load:
    """One device on a wire: its plan, period and limits, and its usual reply time, all times in seconds."""

    name: str
    blocks: tuple[Block, ...]
    every_s: float
    limits: Limits
    reply_s: float = REPLY_S


@dataclass(frozen=True, slots=True)
class Budget:
    """What a wire has to carry.

    Attributes:
        seconds: device name -> seconds of its plan.
        cycle_s: all devices once; `load`: share of the wire's time at the configured periods (above 1: impossible).
        dead_cycle_s: the longest cycle when one device stops answering (its timeout instead of its plan);
        dead_load: the largest load then, once the breaker has opened; `worst`: the device that makes it so.
    """

    seconds: dict[str, float]
    cycle_s: float
    load: float
    dead_cycle_s: float
    dead_load: float
    worst: str


def seconds(load: Load, line: LineSettings | None) -> float:
    """Seconds on the wire that one poll of a device takes."""
    price = cost(line, load.limits, reply_s=load.reply_s)
    return sum(price.of(block.data_bytes) for block in load.blocks)


def budget(loads: Sequence[Load], line: LineSettings | None, *, dead_share: float = DEAD_SHARE) -> Budget:
    """The budget of one wire; `line` None for TCP, one request outstanding."""
    each = {load.name: seconds(load, line) for load in loads}
    share = {load.name: each[load.name] / load.every_s for load in loads}
    cycle_s, total = sum(each.values()), sum(share.values())
    dead = {load.name: cycle_s - each[load.name] + load.limits.timeout_ms / 1000 for load in loads}
    loads_dead = {load.name: total - share[load.name] + dead_share for load in loads}
    worst = max(dead, key=lambda name: dead[name], default="")
    return Budget(each, cycle_s, total, dead.get(worst, 0.0), max(loads_dead.values(), default=0.0), worst)
