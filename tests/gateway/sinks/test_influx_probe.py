"""What a database does with a point that comes again is read back from it, not believed from its headers."""

import asyncio

import pytest
from parts import Influx1, VictoriaMetrics
from sink_cases import SITE, Book, options, parcels, until, window

from gateway.sinks import Fate, influx
from gateway.sinks.credentials import Files
from gateway.sinks.http_write import Answer
from gateway.sinks.influx import DOUBLES, NO_AMENDMENTS, InfluxSink
from gateway.sinks.influx_probe import Conduct, Probe, server_ms


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(influx, "LOOKS_S", (0.05,) * 400)


def sink(url, **more):
    config = options("influxdb", urls=(url,), **({"api": "v1", "database": "city"} | more))
    return InfluxSink("db", config=config, site=SITE, files=Files())


async def told(one, settled):
    """What is known at last, the warning, and what becomes of an amended window."""
    book = Book()
    await one.open(book)
    at_once = one._overwrites
    await asyncio.to_thread(settled)
    await until(lambda: one._conduct.doubles is not None)
    conduct, warning = one._conduct, one.warning()
    await one.send(parcels([window(0, rev=1)]))
    await book.until(1)
    await one.close()
    return at_once, conduct, warning, book.fates[0][1]


@pytest.mark.parts
@pytest.mark.parametrize("dedup", [False, True], ids=["plain", "dedup"])
@pytest.mark.parametrize("more", [{}, {"rev_tag": True}, {"api": "v2", "org": "o", "bucket": "b"}], ids=str)
def test_victoriametrics_is_found_out(dedup, more):
    with VictoriaMetrics(dedup=dedup) as part:
        at_once, conduct, warning, fate = asyncio.run(told(sink(part.url, **more), part.flush))
    assert not at_once, "an amended record would be taken for delivered"
    assert conduct == Conduct(overwrites=False, doubles=not dedup)
    assert (DOUBLES in warning) is not dedup
    assert (NO_AMENDMENTS in warning) is ("rev_tag" not in more)
    assert fate is (Fate.DELIVERED if "rev_tag" in more else Fate.DEAD)


@pytest.mark.parts
def test_influxdb_overwrites():
    with Influx1() as part:
        at_once, conduct, warning, fate = asyncio.run(told(sink(part.url), lambda: None))
    assert at_once
    assert conduct == Conduct(overwrites=True, doubles=False)
    assert (warning, fate) == ("", Fate.DELIVERED)


MARK = 7


@pytest.mark.parametrize(
    ("rows", "conduct"),
    [
        ([[1, 7, 8, 7]], Conduct(overwrites=True, doubles=False)),
        ([[1, 7, 7, 8]], Conduct(overwrites=False, doubles=False)),
        ([[1, 7, 7, 8], [1, 7, 8, 7]], Conduct(overwrites=False, doubles=True)),
        ([[1, 6, 8, 7]], Conduct()),  # another gateway's of the same second
        ([], Conduct()),
    ],
)
def test_what_rows_of_influxql_tell(rows, conduct):
    probe = Probe(SITE, t_ms=1, database="city")
    probe._mark = MARK
    body = f'{{"results":[{{"series":[{{"values":{rows}}}]}}]}}'
    assert probe._told(Answer(200, {}, body)) == conduct


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"results":[{}]}', '{"results":[{"series":[{}]}]}', "1"])
def test_what_is_no_answer_tells_nothing(text):
    probe = Probe(SITE, t_ms=1, database="city")
    assert probe._told(Answer(200, {}, text)) == probe._told(Answer(401, {}, text)) == Conduct()
    assert probe._doubled(text) is None


def test_the_time_is_the_servers():
    assert server_ms(Answer(204, {"date": "Sat, 21 Nov 2026 02:00:00 GMT"}, "")) == 1_795_226_400_000
    assert server_ms(Answer(204, {}, "")) is None
    assert server_ms(Answer(204, {"date": "soon"}, "")) is None
