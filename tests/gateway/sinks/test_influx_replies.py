"""Scripted database replies: good points exactly once, bad ones in dead letters, everything else waits. No loop."""

import asyncio
from collections import deque

import pytest
from scripted_influx import GOOD, PARTIAL, Database
from sink_cases import SITE, Book, options, parcels, raw, until

from gateway.sinks import Fate, SinkDown
from gateway.sinks.credentials import Files
from gateway.sinks.influx import InfluxSink


def sink(url, **more):
    config = options("influxdb", urls=(url,), **({"api": "v2", "org": "kk", "bucket": "city"} | more))
    return InfluxSink("platform", config=config, site=SITE, files=Files())


def stored_seqs(server):
    return sorted(int(line.split("seq=")[1].split("i")[0]) for line in server.stored if line.startswith("air,"))


def bad(lines, wanted):
    return any(f"seq={seq}i" in line for seq in wanted for line in lines)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("wanted", [(7,), (1, 40), tuple(range(1, 41)), (20, 21, 22)])
def test_bad_lines_are_found_and_the_others_delivered_once(status, wanted):
    def answer(lines):
        return (status, {}, PARTIAL) if bad(lines, wanted) else GOOD

    database = Database(answer)
    with database as server:

        async def story():
            one, book = sink(database.url), Book()
            await one.open(book)
            await one.send(parcels([raw(seq) for seq in range(1, 41)]))
            await book.until(40)
            await one.close()
            return book

        book = asyncio.run(story())
    assert sorted(book.of(Fate.DEAD)) == [seq - 1 for seq in wanted]
    assert stored_seqs(server) == [seq for seq in range(1, 41) if seq not in wanted]
    assert len(server.requests) < 160
    assert "dropped=1" in book.reason(wanted[0] - 1)


def test_too_large_is_halved():
    database = Database(lambda lines: (413, {}, b"too large") if len(lines) > 3 else GOOD)
    with database as server:

        async def story():
            one, book = sink(database.url), Book()
            await one.open(book)
            await one.send(parcels([raw(seq) for seq in range(1, 21)]))
            await book.until(20)
            await one.close()
            return book

        book = asyncio.run(story())
    assert len(book.delivered) == 20
    assert stored_seqs(server) == list(range(1, 21))


@pytest.mark.parametrize(
    ("reply", "code", "retry_s"),
    [
        ((401, {}, b"unauthorized"), "CG-INF-02", 60.0),
        ((403, {}, b"forbidden"), "CG-INF-02", 60.0),
        ((404, {}, b'{"error":"database not found"}'), "CG-INF-03", 60.0),
        ((429, {"Retry-After": "17"}, b""), "CG-INF-04", 17.0),
        ((429, {}, b""), "CG-INF-04", None),
        ((503, {"Retry-After": "99999999"}, b""), "CG-INF-04", 600.0),
        ((503, {"Retry-After": "soon"}, b""), "CG-INF-04", None),
        ((503, {"Retry-After": "-5"}, b""), "CG-INF-04", None),
        ((500, {}, b"panic"), "CG-INF-01", None),
        ((502, {}, b"bad gateway"), "CG-INF-01", None),
        ((200, {"Content-Type": "text/html"}, b"<html>welcome, please log in</html>"), "CG-INF-03", 60.0),
        ((200, {}, b'{"results":[{"error":"x"}]}'), "CG-INF-03", 60.0),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "CG-INF-03", 60.0),
        ((307, {"Location": "http://example.org/"}, b""), "CG-INF-03", 60.0),
        ((418, {}, b"teapot"), "CG-INF-03", 60.0),
        ((None, {}, b""), "CG-INF-01", None),
    ],
)
@pytest.mark.parametrize("when", ["at the door", "later"])
def test_replies_that_are_no_delivery(reply, code, retry_s, when):
    database = Database(lambda _lines: reply, open_first=when == "later")
    with database as server:

        async def story():
            one, book = sink(database.url), Book()
            if when == "at the door":
                with pytest.raises(SinkDown) as down:
                    await one.open(book)
                found = down.value
            else:
                await one.open(book)
                await one.send(parcels([raw(1), raw(2)]))
                await until(lambda: one.down() is not None)
                found = one.down()
            await one.close()
            return book, found

        book, down = asyncio.run(story())
    assert book.fates == []
    assert down.code == code
    if retry_s is not None:
        assert down.retry_s == retry_s
    assert len(server.requests) <= 3
    assert all("example.org" not in str(headers) for _, headers, _ in server.requests)


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("v1", "/write?db=city&precision=ms"),
        ("v2", "/api/v2/write?org=kk&bucket=city&precision=ms"),
        ("v3", "/api/v3/write_lp?db=city&precision=millisecond"),
    ],
)
def test_the_write_address_and_the_token_of_each_api(tmp_path, api, path):
    token = tmp_path / "influx.token"
    token.write_text("t0ken\n")
    token.chmod(0o600)
    database = Database(lambda _lines: GOOD)
    with database as server:

        async def story():
            one, book = sink(database.url, api=api, database="city", token_file=str(token)), Book()
            await one.open(book)
            await one.send(parcels([raw(1)]))
            await book.until(1)
            await one.close()

        asyncio.run(story())
    found, headers, lines = server.requests[-1]
    assert found == path
    assert headers["Authorization"].endswith("t0ken")
    assert headers["Content-Encoding"] == "gzip"
    assert {"pm2_5=12.0", "pm10=18.0", "seq=1i"} <= set(lines[0].split(" ")[1].split(","))


def test_a_reply_that_is_lost_is_asked_again_with_the_same_points():
    replies = deque([(None, {}, b"")], maxlen=4)
    database = Database(lambda _lines: replies.popleft() if replies else GOOD)
    with database as server:

        async def story():
            one, book = sink(database.url), Book()
            await one.open(book)
            await one.send(parcels([raw(1)]))
            await until(lambda: book.fates or one.down() is not None)
            await one.close()
            return book

        book = asyncio.run(story())
    lines = [lines for _, _, lines in server.requests[1:]]
    assert all(each == lines[0] for each in lines)
    assert len(book.fates) <= 1
