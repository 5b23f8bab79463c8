"""kill -9 of the whole daemon at random, broker and database up and down: nothing lost, nothing doubled."""

import json
import random
import time
from collections import defaultdict
from dataclasses import replace

import pytest
import window_reference
from e2e_site import Payload, RunningSite, identity, topic_of

from drivers.sample import FIRST_BAD
from gateway.reading import LENGTHS_S

pytestmark = [pytest.mark.e2e, pytest.mark.crash, pytest.mark.parts]
PREFIX = "citygate/khon-kaen/demo-001/"


def torment(site, dice, kills):
    """`kills` sudden deaths; meanwhile broker and database go away and come back."""
    for _ in range(kills):
        site.start()
        for part in (site.broker, site.database):
            if dice.random() < 0.3:
                if part.process is None:
                    part.start()
                else:
                    part.stop()
        time.sleep(dice.uniform(0.0, 2.6))  # not waiting for anything: the moment of death is what varies
        site.kill()
    for part in (site.broker, site.database):
        if part.process is None:
            part.start()
    site.start()
    time.sleep(5.0)  # a little undisturbed life, so that every device speaks at least once more
    site.settle()
    assert site.stop() == 0


def check_broker(site, records):
    """Each committed record arrived with its content; the same identity never with another content."""
    payload = Payload()
    expected = {}
    for record in records:
        body = json.loads(payload.encode(record))
        body.pop("late", None)
        expected[topic_of(record), body["t"], record.rev] = body

    got = defaultdict(list)

    def sort_in(messages):
        got.clear()
        for topic, data, _retained in messages:
            if not topic.endswith(("status", "health", "meta")):
                body = json.loads(data)
                body.pop("late", None)
                got[topic, body["t"], body.get("rev", 0)].append(body)
        return expected.keys() <= got.keys()

    messages = site.received(sort_in)
    missing = expected.keys() - got.keys()
    assert not missing, sorted(missing)[:5]
    for key, bodies in got.items():
        assert all(body == bodies[0] for body in bodies), (key, bodies)
        if key in expected:
            assert bodies[0] == expected[key]
        else:  # sent before a commit that the kill prevented
            assert key[0].endswith("/raw"), key
    return len(messages), got


def check_database(site, records):
    """Each committed raw record is one point with its values, epoch and number."""
    points = {}
    for kind in ("air", "energy", "traffic", "water"):
        for row in site.database.query(f'SELECT * FROM "{kind}" GROUP BY device'):
            key = row["device"], row["time"]
            assert key not in points
            points[key] = row
    raw = {(record.device, record.t_ms): record for record in records if record.stream == "raw"}
    missing = raw.keys() - points.keys()
    assert not missing, sorted(missing)[:5]
    for key, record in raw.items():
        row = points[key]
        assert (row["epoch"], row["seq"]) == (record.epoch, record.seq)
        for point, value, code in zip(record.body.series.points, record.body.values, record.body.codes, strict=True):
            assert row.get(point.name) == (value if code < FIRST_BAD else None), (key, point.name)
    for device, stream in {(r.device, r.stream) for r in records if r.stream in {"5s", "1m"}}:
        mine = [r for r in records if (r.device, r.stream) == (device, stream)]
        kind = mine[0].body.series.kind
        text = f"SELECT n FROM \"{kind}_window\" WHERE device = '{device}' AND stream = '{stream}'"
        rows = {row["time"] for row in site.database.query(text)}
        assert {record.t_ms for record in mine} <= rows
    return len(points)


def check_truth(site, records):
    """Every believed value was really served, at about that time."""
    served = defaultdict(list)
    for line in site.truth():
        part = line.get("part", "")
        ident = f"{line['device']}-{part}" if part else line["device"]
        for name, value in line["values"].items():
            served[ident, name].append((line["t"], value))
    checked = 0
    for record in records:
        if record.stream != "raw":
            continue
        for point, value, code in zip(record.body.series.points, record.body.values, record.body.codes, strict=True):
            truth = served.get((record.device, point.name))
            if code or truth is None:
                continue
            near = [v for t, v in truth if abs(t - record.t_ms / 1000) < 3.0]
            slack = 0.51 * point.resolution
            assert any(abs(v - value) <= slack for v in near), (identity(record), point.name, value, near)
            checked += 1
    return checked


def check_windows(records):
    """The last revision of each window is what an undisturbed run makes of the raw records that were committed."""
    raw, newest = defaultdict(list), {}
    for number, record in enumerate(records):
        if record.stream == "raw":
            raw[record.device].append(replace(record.body, t_mono_ns=number))
        elif record.stream in LENGTHS_S:
            newest[record.device, record.stream, record.t_ms] = record.body
    checked = 0
    for (device, stream, start_ms), body in newest.items():
        if any(point.name.startswith("wind_direction") for point in body.series.points):
            continue
        inside = [r for r in raw[device] if start_ms <= r.t_ms < body.end_ms]
        earlier = [r for r in raw[device] if start_ms - (body.end_ms - start_ms) <= r.t_ms < start_ms]
        if inside:
            wanted = window_reference.aggregate(body.series, stream, start_ms, inside, earlier)
            assert window_reference.same(body, wanted) is None, (device, stream, start_ms)
            checked += 1
        else:
            assert body.n == 0, (device, stream, start_ms)
    return checked


@pytest.mark.parametrize(
    ("kills", "seed"),
    [
        pytest.param(20, 1, marks=pytest.mark.timeout(300)),
        pytest.param(200, 2, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_sudden_deaths(tmp_path, kills, seed):
    with RunningSite(tmp_path / "site") as site:
        torment(site, random.Random(seed), kills)
        records = site.journaled()
        keys = [identity(record) for record in records]
        assert len(keys) == len(set(keys))
        epochs = {record.epoch for record in records}
        messages, _got = check_broker(site, records)
        points = check_database(site, records)
        checked = check_truth(site, records)
    windows = check_windows(records)
    assert checked > 300
    assert windows > 20
    print(
        f"{kills} kills: {len(records)} committed records in {len(epochs)} epochs, {messages} messages, "
        f"{points} raw points in the database, {checked} values against the truth, "
        f"{windows} windows against their readings: 0 lost, 0 doubled, 0 wrong"
    )
