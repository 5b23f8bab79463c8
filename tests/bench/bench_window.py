"""Windows: 500 points x 60 s, all statistics, bad values, against bare numpy; cost per point as sites grow.

CPU time, the best of several: other work on the machine is not ours to measure.
"""

import math
import random
from time import process_time
from zoneinfo import ZoneInfo

import numpy as np

from drivers.points import Point
from gateway.quality import Judge
from gateway.reading import Reading, Series
from gateway.window import Windows

ZONE = ZoneInfo("Asia/Bangkok")
T0 = 1_795_000_000_000 // 3_600_000 * 3_600_000
ROWS = 60


def _series(count, name="s"):
    points = tuple(Point(f"p{i}", "1", "gauge", 1, "", "", valid=(-1000, 1000)) for i in range(count))
    return Series(name, name, "energy", points, 1000)


def _readings(one, *, bad=0.05, seed=1):
    dice, count = random.Random(seed), len(one.points)
    pool = []
    for k in range(ROWS):
        values = [round(dice.uniform(0, 400), 1) for _ in range(count)]
        codes = [204 if dice.random() < bad else 0 for _ in range(count)]
        pool.append(Reading(one, T0 + k * 1000, k * 10**9, tuple(values), tuple(codes)))
    return pool


def _bare(values, codes):
    """The same numbers from ready arrays, as one would write them for this shape alone."""
    x = np.where(codes >= 200, np.nan, values)
    there = ~np.isnan(x)
    n = there.sum(axis=0)
    mean = np.where(there, x, 0.0).sum(axis=0) / n
    away = np.where(there, x - mean, 0.0)
    std = np.sqrt((away * away).sum(axis=0) / (n - 1))
    ordered = np.sort(x, axis=0)
    columns = np.arange(x.shape[1])
    found = [mean, ordered[0], ordered[n - 1, columns], std]
    for share in (0.5, 0.95):
        place = (n - 1) * share
        low = place.astype(int)
        high = np.minimum(low + 1, n - 1)
        found.append(ordered[low, columns] + (ordered[high, columns] - ordered[low, columns]) * (place - low))
    return list(zip(*(row.tolist() for row in found), strict=True)), n.tolist()


def _best(run, *, times):
    best = math.inf
    for _ in range(times):
        took = run()
        best = min(best, took)
    return best


def _close_us(series, pools, lengths=("1m",)):
    windows = Windows(series, lengths, zone=ZONE)
    for pool in pools:
        for reading in pool:
            windows.add(reading)
    start = process_time()
    found = windows.close(T0 + 62_000)
    took = process_time() - start
    assert len(found) == len(series)
    return took * 1e6


def run() -> dict:
    one = _series(500)
    pool = _readings(one)
    values = np.array([r.values for r in pool])
    codes = np.array([r.codes for r in pool])

    def bare():
        start = process_time()
        _bare(values, codes)
        return (process_time() - start) * 1e6

    bare_us = _best(bare, times=200)
    ours_us = _best(lambda: _close_us([one], [pool]), times=100)
    default_us = _best(lambda: _close_us([one], [pool], ("1m", "15m", "1h")), times=50)
    small = _series(60)
    few = _readings(small, bad=0.0)

    def adding():
        windows = Windows([small], ("1m",), zone=ZONE)
        start = process_time()
        for reading in few:
            windows.add(reading)
        return (process_time() - start) / ROWS * 1e6

    judge = Judge([small])

    def judging():
        start = process_time()
        for reading in few:
            judge.judge(reading)
        return (process_time() - start) / ROWS * 1e6

    per_point = {}
    for points, times in ((500, 60), (5_000, 10), (50_000, 3)):
        sites = [_series(50, f"s{k}") for k in range(points // 50)]
        pools = [_readings(site, seed=k) for k, site in enumerate(sites[:20])]
        pools = [
            [Reading(s, r.t_ms, r.t_mono_ns, r.values, r.codes) for r in pools[k % 20]] for k, s in enumerate(sites)
        ]
        per_point[points] = _best(lambda sites=sites, pools=pools: _close_us(sites, pools), times=times) / points
    figures = {
        "bare_numpy_us": bare_us,
        "window_us": ours_us,
        "ratio_to_bare_numpy": ours_us / bare_us,
        "window_with_hours_us": default_us,
        "add_60_values_us": _best(adding, times=200),
        "judge_60_values_us": _best(judging, times=200),
        "us_per_point": {str(k): v for k, v in per_point.items()},
        "growth_500_to_50000": per_point[50_000] / per_point[500],
    }
    for name, value in figures.items():
        shown = value if isinstance(value, dict) else {"": value}
        print(f"{name:24}", "  ".join(f"{k} {v:.2f}".strip() for k, v in shown.items()))
    return figures


if __name__ == "__main__":
    run()
