"""The score of a gateway: its records (JSON lines of a file sink) held against the ground truth of the simulators.

| figure | meaning |
|---|---|
| right | believed values that the device said within `window_s` of the record's time |
| stale | believed values that it said, but longer ago: the last value again |
| wrong | believed values that it never said |
| doubled | records that another record has the identity of (device, stream, t, rev) |
| failed | records without a value, and so marked |
| said, missed | whole answers or frames that the device got onto the line; those of which no record tells |
| struck | answers that a fault or a quirk spoilt, or that nobody listened to |
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

WINDOW_S: Final = 3.0
COUNTS: Final = {"vehicle_count": 256}
"""Points that tell what came since the last answer: whoever missed some finds it in the next, to this modulus."""
WHOLE: Final = 3  # so many different values without decimals, and no other, show that a point is told in whole numbers
FIGURES: Final = ("right", "stale", "wrong", "doubled", "failed", "said", "missed", "struck")


@dataclass
class _Said:
    """What one device (or one of its parts) said of its points, in order: times (Unix s) and values."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    digits: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    struck: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, t_s: float, values: Mapping[str, float], *, struck: bool = False) -> None:
        for point, value in values.items():
            self.times[point].append(t_s)
            self.values[point].append(value)
            self.struck[point].append(struck)

    def near(self, point: str, t_s: float, *, window_s: float) -> list[float]:
        times = self.times.get(point, [])
        return self.values[point][bisect_left(times, t_s - window_s) : bisect_right(times, t_s + window_s)]

    def sums(self, point: str, t_s: float, *, window_s: float) -> Iterator[float]:
        """What answers near `t_s` tell to somebody who missed the struck ones right before them."""
        times, values, struck = self.times.get(point, []), self.values[point], self.struck[point]
        for last in range(bisect_left(times, t_s - window_s), bisect_right(times, t_s + window_s)):
            total, at = values[last], last - 1
            while at >= 0 and struck[at]:
                total, at = total + values[at], at - 1
                yield total % COUNTS[point]

    def judge(self, point: str, value: float, *, t_s: float, window_s: float) -> str:
        digits = self.digits[point]
        if any(_same(value, one, digits=digits) for one in self.near(point, t_s, window_s=window_s)):
            return "right"
        if point in COUNTS and any(
            _same(value, one, digits=digits) for one in self.sums(point, t_s, window_s=window_s)
        ):
            return "right"
        return "stale" if any(_same(value, one, digits=digits) for one in self.values.get(point, ())) else "wrong"


def _same(told: float, said: float, *, digits: int) -> bool:
    """Whether a record tells what was said, rounded to the point's `digits` or more, never to fewer."""
    return abs(told - said) <= max(0.5000001 * 10.0**-digits, 1e-6 * abs(said))


def _digits(values: Iterable[float]) -> int:
    """Decimals in which a point is told: the most that any of its values needs; 1 where they are too few to tell."""
    told = set(values)
    most = max((-int(Decimal(repr(value)).normalize().as_tuple().exponent) for value in told), default=0)
    return max(most, 0 if len(told) >= WHOLE else 1)


def score(
    truth: Iterable[Mapping[str, Any]], records: Iterable[Mapping[str, Any]], *, window_s: float = WINDOW_S
) -> dict[str, dict[str, int]]:
    """The figures of each device, lanes and channels apart (`radar-lane1`), and of all of them under "".

    `truth` are the lines of a truth file, `records` those of a file sink; of the latter only the stream `raw` counts.
    """
    said: dict[str, _Said] = defaultdict(_Said)
    answers: list[tuple[str, float, Mapping[str, float]]] = []
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in sorted(truth, key=lambda each: float(each["t"])):
        name = "-".join(filter(None, [line["device"], line.get("part")]))
        said[name].add(line["t"], line["values"], struck=bool(line.get("fault")))
        found[name]["struck" if line.get("fault") else "said"] += 1
        if not line.get("fault"):
            answers.append((name, line["t"], line["values"]))
    _resolve(said, records := [one for one in records if one.get("stream", "raw") == "raw"])
    told: dict[str, _Said] = defaultdict(_Said)
    seen: Counter[tuple[str, str, int]] = Counter()
    for record in sorted(records, key=lambda each: str(each["t"])):
        _take(record, said, told, found, window_s=window_s)
        seen[record["device"], record["t"], record.get("rev", 0)] += 1
    for (name, _, _), count in seen.items():
        found[name]["doubled"] += count - 1
    for name, t_s, values in answers:
        found[name]["missed"] += not any(
            _same(one, value, digits=said[name].digits[point])
            for point, value in values.items()
            for one in told[name].near(point, t_s, window_s=window_s)
        )
    total = sum(found.values(), Counter())
    return {name: {key: counts[key] for key in FIGURES} for name, counts in sorted((found | {"": total}).items())}


def _resolve(said: Mapping[str, _Said], records: Iterable[Mapping[str, Any]]) -> None:
    """Find each point's resolution in the values that are told of it."""
    values: dict[tuple[str, str], set[float]] = defaultdict(set)
    for record in records:
        for point, value in record["v"].items():
            values[record["device"], point].add(value)
    for (name, point), told in values.items():
        said[name].digits[point] = _digits(told)


def _take(
    record: Mapping[str, Any],
    said: Mapping[str, _Said],
    told: Mapping[str, _Said],
    found: Mapping[str, Counter[str]],
    *,
    window_s: float,
) -> None:
    name, t_s = record["device"], datetime.fromisoformat(record["t"]).timestamp()
    if not record["v"]:
        found[name]["failed"] += 1
    for point, value in record["v"].items():
        verdict = said[name].judge(point, value, t_s=t_s, window_s=window_s)
        found[name][verdict] += 1
        if verdict == "right":
            told[name].add(t_s, {point: value})


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a file; a last one that is not ended is left out."""
    data = path.read_bytes()
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines() if line.strip()]
