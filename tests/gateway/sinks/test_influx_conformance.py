"""R19: scripted replies, each followed by a sound server: good points once, bad ones in dead letters, no loop."""

import asyncio
import contextlib
import json
from collections import Counter, deque

import pytest
from scripted_influx import GOOD, Database
from sink_cases import SITE, Book, options, parcels, raw, until

from gateway.sinks import Fate, SinkDown
from gateway.sinks.credentials import Files
from gateway.sinks.http_sink import BURIED_MAX
from gateway.sinks.influx import InfluxSink

COUNT = 24
HTML = b"<html><body>Please log in to the free city network</body></html>"
NO_ANSWER = (None, {}, b"")


def error(text, **more):
    return json.dumps({"error": text, **more}).encode()


def v2(code, message):
    return json.dumps({"code": code, "message": message}).encode()


# name -> the replies that come first; then the server is sound. What refuses for good is in BAD below.
ONCE = {
    "401 v1": [(401, {"WWW-Authenticate": "Basic"}, error("authorization failed"))],
    "401 v2": [(401, {}, v2("unauthorized", "unauthorized access"))],
    "403": [(403, {}, v2("forbidden", "insufficient permissions for write"))],
    "404 database": [(404, {}, error('database not found: "city"'))],
    "404 bucket": [(404, {}, v2("not found", 'bucket "city" not found'))],
    "404 of a proxy": [(404, {"Content-Type": "text/html"}, HTML)],
    "408": [(408, {}, b"")],
    "429 seconds": [(429, {"Retry-After": "1"}, b"")],
    "429 absurd": [(429, {"Retry-After": "99999999999"}, b"")],
    "429 negative": [(429, {"Retry-After": "-17"}, b"")],
    "429 words": [(429, {"Retry-After": "soon"}, b"")],
    "429 twice": [(429, {}, b""), (429, {}, b"")],
    "500": [(500, {}, error("timeout"))],
    "500 empty": [(500, {}, b"")],
    "502": [(502, {"Content-Type": "text/html"}, HTML)],
    "503 date": [(503, {"Retry-After": "Sat, 21 Nov 2026 02:00:05 GMT", "Date": "Sat, 21 Nov 2026 02:00:00 GMT"}, b"")],
    "503 old date": [(503, {"Retry-After": "Sat, 21 Nov 2015 02:00:05 GMT"}, b"")],
    "504": [(504, {}, b"")],
    "200 captive portal": [(200, {"Content-Type": "text/html"}, HTML)],
    "200 with an error": [(200, {}, b'{"results":[{"error":"x"}]}')],
    "200 empty": [(200, {}, b"")],
    "201": [(201, {}, b"")],
    "202": [(202, {}, b"accepted, and perhaps written later")],
    "301": [(301, {"Location": "http://example.org/write"}, b"")],
    "302 to itself": [(302, {"Location": "/write"}, b"")],
    "307 elsewhere": [(307, {"Location": "http://127.0.0.1:9/write"}, b"")],
    "a body without end": [(500, {}, b"x" * 5_000_000)],
    "no answer": [NO_ANSWER],
    "no answer, four times": [NO_ANSWER] * 4,
    "down, then up, then down": [(503, {}, b""), GOOD, (500, {}, b"")],
}
# name -> judge of the lines: (refused, reply)
FOREVER = {
    "400 one of many": (lambda seqs: seqs & {7}, (400, {}, error("partial write: field type conflict: x dropped=1"))),
    "400 many": (lambda seqs: seqs & {1, 2, 3, 11, 24}, (400, {}, error("unable to parse 'x': invalid field format"))),
    "400 all": (lambda seqs: seqs, (400, {}, error("unable to parse"))),
    "422 v2 too old": (lambda seqs: seqs & {5, 6}, (422, {}, v2("unprocessable entity", "beyond retention policy"))),
    "400 v3 partial": (
        lambda seqs: seqs & {9},
        (400, {}, error("partial write of line protocol occurred", data=[{"line_number": 1, "error_message": "bad"}])),
    ),
    "413 alone": (lambda seqs: seqs & {13}, (413, {}, b"")),
}


def seqs_of(lines):
    return {int(line.split("seq=")[1].split("i")[0]) for line in lines if "seq=" in line}


async def drive(url):
    """As the shipper does, without its waits: reopen after every loss, send again what has no fate."""
    sink = InfluxSink("db", config=options("influxdb", urls=(url,), org="o", bucket="b"), site=SITE, files=Files())
    book, records = Book(), [raw(seq) for seq in range(1, COUNT + 1)]
    for _ in range(12):
        settled = {position for position, _fate, _reason in book.fates}
        with contextlib.suppress(SinkDown):
            await sink.open(book)
            await sink.send([one for one in parcels(records) if one.position not in settled])
            await until(lambda: sink.down() is not None or len(book.fates) == COUNT)
        await sink.close()
        if len(book.fates) == COUNT:
            break
    return book


def judged(server, book, bad):
    """Every good point is stored, by its identity once; every bad one a dead letter; each settled once."""
    assert Counter(position for position, _fate, _reason in book.fates) == dict.fromkeys(range(COUNT), 1)
    assert {position + 1 for position in book.of(Fate.DEAD)} == bad
    points = {}
    for line in server.stored:
        if line.startswith("air,"):
            identity = line.split(" ")[0], line.rsplit(" ", 1)[1]
            assert points.setdefault(identity, line) == line, "sent again with another content"
    assert seqs_of(points.values()) == set(range(1, COUNT + 1)) - bad
    assert len(server.requests) < 100, "a loop"


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("door", [True, False], ids=["later", "at the door"])
def test_a_reply_that_passes_costs_nothing(name, door):
    replies = deque(ONCE[name], maxlen=8)
    database = Database(lambda _lines: replies.popleft() if replies else GOOD, open_first=door)
    with database as server:
        book = asyncio.run(drive(database.url))
        judged(server, book, set())


@pytest.mark.parametrize("name", FOREVER)
def test_what_is_refused_for_good_is_a_dead_letter_and_its_neighbours_are_not(name):
    refuses, reply = FOREVER[name]
    database = Database(lambda lines: reply if refuses(seqs_of(lines)) else GOOD)
    with database as server:
        book = asyncio.run(drive(database.url))
        judged(server, book, set(refuses(set(range(1, COUNT + 1)))))
        assert all(f"HTTP {reply[0]}" in book.reason(position) for position in book.of(Fate.DEAD))


REFUSES_ALL = {
    "400 proxy": (400, {"Content-Type": "text/html"}, b"400 The plain HTTP request was sent to HTTPS port"),
    "400 no database": (400, {}, error("database is required")),
    "413 proxy": (413, {"Content-Type": "text/html"}, HTML),
    "422 dropped bucket": (422, {}, v2("unprocessable entity", "bucket is gone")),
}


@pytest.mark.parametrize("name", REFUSES_ALL)
@pytest.mark.parametrize("count", [1, COUNT])
def test_a_server_that_refuses_everything_for_a_while_buries_nothing(name, count):
    """Sound at the door, then it takes nothing, not even the canary: all waits, and all goes once it is sound again."""
    sound = []
    database = Database(lambda _lines: GOOD if sound else REFUSES_ALL[name])

    async def story(url):
        sink = InfluxSink("db", config=options("influxdb", urls=(url,), org="o", bucket="b"), site=SITE, files=Files())
        book, records = Book(), parcels([raw(seq) for seq in range(1, count + 1)])
        await sink.open(book)
        await sink.send(records)
        await until(lambda: sink.down() is not None)
        down, asked = sink.down(), len(server.requests)
        await sink.close()
        assert (book.fates, down.code, down.retry_s) == ([], "CG-INF-03", 60.0)
        assert asked < 12, "it is found out before the whole batch is cut to pieces"
        sound.append(True)
        await sink.open(book)
        await sink.send(records)
        await book.until(count)
        await sink.close()
        return book

    with database as server:
        assert sorted(asyncio.run(story(database.url)).delivered) == list(range(count))


def test_one_that_begins_to_refuse_everything_within_a_batch_buries_no_more_than_a_few():
    """The first half is taken; then nothing any more."""
    taken = []

    def answer(lines):
        seqs = seqs_of(lines)
        if len(seqs) > 40 or taken or not seqs:
            return 400, {}, error("no")
        taken.append(seqs)
        return GOOD

    async def story(url):
        sink = InfluxSink("db", config=options("influxdb", urls=(url,), org="o", bucket="b"), site=SITE, files=Files())
        book = Book()
        await sink.open(book)
        await sink.send(parcels([raw(seq) for seq in range(1, 81)]))
        await until(lambda: sink.down() is not None)
        await sink.close()
        return book

    database = Database(answer)
    with database:
        book = asyncio.run(story(database.url))
    assert len(book.delivered) == 40
    assert len(book.of(Fate.DEAD)) == BURIED_MAX


def test_there_are_thirty_at_least():
    assert len(ONCE) + len(FOREVER) >= 30
