"""Series and records for tests."""

from drivers.points import point
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.record import Record

EPOCH = "00000001-abcd"


def series(name="meter", points=("voltage_l1", "power_active"), every_ms=1000, kind="energy"):
    return Series(name, name, kind, tuple(point(one) for one in points), every_ms)


def raw(one, t_ms, seq=1, values=None, codes=None, epoch=EPOCH, **more):
    values = tuple(float(seq) for _ in one.points) if values is None else values
    codes = (0,) * len(values) if codes is None else codes
    return Record(one.id, "raw", t_ms, epoch, seq, Reading(one, t_ms, 0, values, codes), **more)


def window(one, start_ms, seq=1, length_ms=60_000, stream="1m", rev=0):
    stats = tuple((1.0, 0.0, 2.0, 0.5, 1.0, 1.9) for _ in one.points)
    body = Aggregate(
        one, stream, start_ms, start_ms + length_ms, 60, 1.0, stats, (60,) * len(stats), ((),) * len(stats), rev=rev
    )
    return Record(one.id, stream, start_ms, EPOCH, seq, body, rev=rev)


def event(t_ms, seq=1):
    body = Event("_gateway", t_ms, "id-1", "sink", "CG-MQT-01", "raised", 2, {"en": "x", "th": "y"}, {"a": 1})
    return Record("_gateway", "event", t_ms, EPOCH, seq, body)
