"""What a database does with a point that comes again is read back from it, not believed from its headers."""

import asyncio

import pytest
from parts import Influx1, VictoriaMetrics
from scripted_influx import GOOD, Database
from sink_cases import SITE, Book, options, parcels, until, window

from gateway.sinks import Fate, SinkDown, influx
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


NO_ANSWERS = [
    "", "<html>", "[]", "{}", '{"results":[{}]}', '{"results":[{"series":[{}]}]}', "1", '{"metric":"x"}', "[" * 60000,
    *(f'{{"metric":{{"__name__":{name}}},"values":{values}}}' for name, values in [
        ('"gateway_probe_same"', "5"), ('"gateway_probe_same"', '"7"'), ('["gateway_probe_same"]', "[7]"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("text", NO_ANSWERS, ids=lambda text: text[:60])
def test_what_is_no_answer_tells_nothing(text):
    probe = Probe(SITE, t_ms=1, database="city")
    assert probe._told(Answer(200, {}, text)) == probe._told(Answer(401, {}, text)) == Conduct()
    assert probe._doubled(text) is None


def test_the_time_is_the_servers():
    assert server_ms(Answer(204, {"date": "Sat, 21 Nov 2026 02:00:00 GMT"}, "")) == 1_795_226_400_000
    assert server_ms(Answer(204, {}, "")) is None
    for date in ("soon", "Mon, 01 Jan 1000000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -0000"):
        assert server_ms(Answer(204, {"date": date}, "")) in {None, 253_402_300_799_000}


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_probe_that_is_refused_leaves_the_sink_open(status):
    """Its time is that of a proxy's clock: it may lie before the database's retention time, as no record does."""
    with Database(lambda _lines: GOOD) as server:
        server.probed = status, {}, b'{"message":"points beyond retention policy"}'
        url = f"http://127.0.0.1:{server.server_address[1]}"

        async def story():
            one, book = sink(url), Book()
            await one.open(book)
            await one.send(parcels([window(0), window(0, rev=1)]))
            await book.until(2)
            await one.close()
            return book.fates, one._conduct

        fates, conduct = asyncio.run(story())
    assert [fate for _, fate, _ in fates] == [Fate.DELIVERED] * 2
    assert conduct == Conduct()


@pytest.mark.parametrize("status", [429, 500, 200])
def test_a_probe_that_is_not_taken_for_now_keeps_the_sink_shut(status):
    with Database(lambda _lines: GOOD) as server:
        server.probed = status, {}, b""
        url = f"http://127.0.0.1:{server.server_address[1]}"

        async def story():
            one = sink(url)
            with pytest.raises(SinkDown):
                await one.open(Book())
            await one.close()

        asyncio.run(story())
