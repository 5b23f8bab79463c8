"""An independent, slow reference of the window statistics: plain Python and fractions, one value at a time."""

import math
import random
from fractions import Fraction
from itertools import pairwise

from drivers.points import Point
from gateway.reading import LENGTHS_S, Reading, Series

NAN = math.nan
KINDS = ("gauge", "gauge", "counter", "count", "state")


def series(kinds=KINDS, *, every_ms=1000, name="dev"):
    points = tuple(Point(name=f"p{i}", unit="1", kind=kind, digits=2, en="", th="") for i, kind in enumerate(kinds))
    return Series(id=name, device=name, kind="energy", points=points, every_ms=every_ms)


def readings(one, *, start_ms, count, seed, bad=0.2, gap=0.1, step_ms=1000):
    """Readings on a jittered clock, some values bad, uncertain or NaN, some polls failed, some missing."""
    dice = random.Random(seed)
    total, found = 0.0, []
    for k in range(count):
        total += dice.choice((0, 0, 0.25, 1.5))
        if dice.random() < gap:
            continue
        values, codes = [], []
        for point in one.points:
            value = {
                "gauge": round(dice.uniform(-50, 300), 2),
                "counter": round(1000 + total, 2),
                "count": float(dice.randrange(5)),
                "state": float(dice.randrange(3)),
            }[point.kind]
            code = dice.choice((0, 101, 107, 201, 204, 205)) if dice.random() < bad else 0
            if code == 201:
                value = NAN
            values.append(value)
            codes.append(code)
        if dice.random() < gap:
            values, codes = [NAN] * len(values), [201] * len(values)
        t = start_ms + k * step_ms + dice.randrange(step_ms)
        found.append(Reading(one, t, 10**9 + t * 10**6, tuple(values), tuple(codes)))
    return found


def window_of(t_ms, length):
    """[start, end) for zones whose offset is a whole number of hours; days in Bangkok time."""
    size, shift = LENGTHS_S[length] * 1000, 7 * 3_600_000
    start = (t_ms + shift) // size * size - shift
    return start, start + size


def _percentile(ordered, share):
    place = Fraction(share).limit_denominator(100) * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    below = Fraction(ordered[low])
    return float(below + (Fraction(ordered[high]) - below) * (place - low))


def _stats(kind, used, before):
    if not used:
        return ()
    if kind == "gauge":
        exact = [Fraction(x) for x in used]
        mean = sum(exact) / len(exact)
        m2 = sum((x - mean) ** 2 for x in exact)
        std = math.sqrt(m2 / (len(exact) - 1)) if len(exact) > 1 else NAN
        ordered = sorted(used)
        return (float(mean), min(used), max(used), std, _percentile(ordered, 0.5), _percentile(ordered, 0.95))
    if kind == "counter":
        chain = ([before] if before is not None else []) + used
        fell = any(b < a for a, b in pairwise(chain))
        return (used[-1], NAN if fell else used[-1] - chain[0])
    if kind == "count":
        return (sum(used),)
    chain = ([before] if before is not None else []) + used
    return (used[-1], float(sum(a != b for a, b in pairwise(chain))))


def _slots(one, start, size, times, base):
    """Slots that hold a poll, on the better of two phases in each base window (where slots divide it)."""
    every = one.every_ms
    piece = base if base % every == 0 else size
    filled = 0
    for low in range(start, start + size, piece):
        inside = [t - low for t in times if low <= t < low + piece]
        both = [len({(t + shift) // every for t in inside}) for shift in (0, every // 2)]
        filled += min(math.ceil(piece / every), max(both))
    return filled


def aggregate(one, length, start, inside, earlier, base=60_000):
    """What the window at `start` must say: (n, coverage, stats, counts, codes)."""
    size = LENGTHS_S[length] * 1000
    inside = sorted(inside, key=lambda r: r.t_mono_ns)
    earlier = sorted(earlier, key=lambda r: r.t_mono_ns)
    full = [any(c < 200 and math.isfinite(v) for v, c in zip(r.values, r.codes, strict=True)) for r in inside]
    coverage = None
    if one.every_ms:
        times = [r.t_ms for r, yes in zip(inside, full, strict=True) if yes]
        coverage = min(1.0, _slots(one, start, size, times, base) / max(1.0, size / one.every_ms))
    stats, counts, codes = [], [], []
    for i, point in enumerate(one.points):
        used, was = (
            [r.values[i] for r in rows if r.codes[i] < 200 and math.isfinite(r.values[i])] for rows in (inside, earlier)
        )
        stats.append(_stats(point.kind, used, was[-1] if was else None))
        counts.append(len(used))
        codes.append(tuple(sorted({r.codes[i] for r in inside if r.codes[i]}, reverse=True)))
    return sum(full), coverage, tuple(stats), tuple(counts), tuple(codes)


def aggregates(one, length, rows, lengths=()):
    """The reference for all windows of `length` that hold a reading: start -> what it must say."""
    base = 1000 * math.gcd(60, *(LENGTHS_S[each] for each in lengths))
    if lengths and (one.every_ms or 0) >= 10_000:
        base = 1000 * math.gcd(*(LENGTHS_S[each] for each in lengths))
    by_start = {}
    for r in rows:
        by_start.setdefault(window_of(r.t_ms, length)[0], []).append(r)
    return {
        start: aggregate(one, length, start, inside, by_start.get(window_of(start - 1, length)[0], []), base)
        for start, inside in by_start.items()
    }


def same(found, wanted, *, percentiles=True, rel=1e-9, noise=1e-7):
    """Whether an Aggregate says what the reference says; returns the first difference or None."""
    n, coverage, stats, counts, codes = wanted
    if (found.n, found.counts, found.codes) != (n, counts, codes):
        return ("n/counts/codes", found.n, n, found.counts, counts, found.codes, codes)
    if coverage != found.coverage and not math.isclose(coverage, found.coverage, rel_tol=1e-12):
        return ("coverage", found.coverage, coverage)
    for mine, theirs in zip(found.stats, stats, strict=True):
        if len(mine) != len(theirs):
            return ("length", mine, theirs)
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            if k >= 4 and not percentiles:
                continue
            if not (math.isnan(a) and math.isnan(b)) and not math.isclose(a, b, rel_tol=rel, abs_tol=noise):
                return ("value", k, mine, theirs)
    return None
