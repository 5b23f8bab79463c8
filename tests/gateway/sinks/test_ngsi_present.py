"""What comes late does not stay over the present at a context broker, and its history has all of it."""

import asyncio
from dataclasses import replace
from math import nan

from context_broker import ContextBroker
from hypothesis import given
from hypothesis import strategies as st
from sink_cases import AIR, METER, SITE, T0_MS, Book, event, options, parcels, raw, until, window

from gateway.sinks import Fate, ngsi_present
from gateway.sinks.ngsi import Entities
from gateway.sinks.ngsi_present import Present, observed_ms
from gateway.sinks.registry import make_sink

NORTH = "urn:ngsi-ld:AirQualityObserved:khon-kaen:kkc-0412:air-north"


def late(record):
    return replace(record, late=True)


def second(text):
    return int(text[17:19])


def seen(broker, attribute="pm25", subject=NORTH):
    return second(broker.entities[subject][attribute]["observedAt"])


def told(broker, *groups, settled=Fate.DELIVERED):
    """One sink; each group of records is sent when the one before has been settled."""

    async def story():
        sink, book = make_sink("city", options("ngsi-ld", urls=(broker.url,)), site=SITE), Book()
        try:
            await sink.open(book)
            count = 0
            for group in groups:
                await sink.send(parcels(group, first=count))
                count += len(group)
                await book.until(count)
            await until(lambda: sink.down() is not None or not sink._present.behind(limit=1))
        finally:
            await sink.close()
        assert {fate for _, fate, _ in book.fates} == {settled}

    asyncio.run(story())


def test_a_late_record_does_not_stay_over_the_present():
    with ContextBroker() as broker:
        told(broker, [raw(1), raw(2), raw(3, codes=(0, 201))], [late(raw(0)), late(raw(1))])
        assert (seen(broker, "pm25"), seen(broker, "pm10"), seen(broker, "dateObserved")) == (3, 2, 3)
        assert broker.entities[NORTH]["pm10"]["value"] == 18.0
        history = [
            second(entry["pm25"]["observedAt"]) for entry in broker.entities[NORTH]["history"] if "pm25" in entry
        ]
    assert sorted(set(history)) == [0, 1, 2, 3], "an observation is missing in the history"
    assert len(history) <= 7


def test_what_was_told_before_is_late_though_nobody_says_so():
    """A record that a broker took only at the second time, and an amended window, come in the live lane."""
    with ContextBroker() as broker:
        told(broker, [raw(2)], [raw(1)])
        assert seen(broker) == 2
        told(broker, [window(1), window(2)], [window(1, rev=1)])
        assert broker.entities[NORTH]["pm25"]["observedAt"][11:13] == "05"


def test_a_clock_that_was_ahead_keeps_nothing():
    ahead = raw(1)
    ahead = replace(ahead, t_ms=ahead.t_ms + 40_000, body=replace(ahead.body, t_ms=ahead.t_ms + 40_000))
    with ContextBroker() as broker:
        told(broker, [ahead], [raw(2)], [late(raw(0))])
        assert seen(broker) == 2


def test_an_alarm_that_has_ended_stays_ended():
    begin, end = event(1), event(2)
    begin, end = replace(begin, body=replace(begin.body, id="a")), replace(end, body=replace(end.body, id="a"))
    end = replace(end, body=replace(end.body, state="cleared"))
    with ContextBroker() as broker:
        told(broker, [end], [late(begin)])
        alert = broker.entities["urn:ngsi-ld:Alert:khon-kaen:kkc-0412:_gateway:a"]
    assert alert["state"]["value"] == "cleared"
    assert [each["state"]["value"] for each in alert["history"]] == ["cleared", "raised", "cleared"]


def test_a_long_backlog_costs_little_more():
    """The present is sent once more when none of the entity waits, and now and then before."""
    count = 100
    with ContextBroker() as broker:
        told(broker, [raw(count)], [late(raw(seq)) for seq in range(count)])
        subjects = [ids for _, ids in broker.requests]
        times = [entry["pm25"]["observedAt"] for entry in broker.entities[NORTH]["history"]]
    assert times[0] == times[-1] == max(times)
    assert all(max(times) in times[first : first + 22] for first in range(0, count, 22)), "the past stood for long"
    assert len(subjects) <= 2 + count + count // 20 + 3


def test_where_all_of_the_present_is_too_much_at_once_it_goes_in_halves():
    many = [replace(AIR, id=f"air-{n}", device=f"air-{n}") for n in range(8)]
    with ContextBroker() as broker:
        broker.answer = lambda entities: (413, {"title": "too large"}, []) if len(entities) > 2 else None
        told(broker, [raw(3, series=one) for one in many], [late(raw(1, series=one)) for one in many])
        shown = [seen(broker, subject=NORTH.replace("air-north", one.id)) for one in many]
    assert shown == [3] * 8


def test_a_broker_that_refuses_the_present_is_not_asked_for_ever():
    stale = set()

    def refuse(entities):
        if entities[0]["id"] == NORTH and stale and seen_in(entities[0]) == 3:
            return 400, {"title": "no"}, []
        return None

    def seen_in(entity):
        return second(entity["pm25"]["observedAt"])

    with ContextBroker() as broker:
        broker.answer = refuse

        async def story():
            sink, book = make_sink("city", options("ngsi-ld", urls=(broker.url,)), site=SITE), Book()
            await sink.open(book)
            await sink.send(parcels([raw(3)]))
            await book.until(1)
            stale.add(1)
            await sink.send(parcels([late(raw(1))], first=1))
            await until(lambda: len(book.fates) == 2 and not sink._present.behind(limit=1))
            await sink.send(parcels([raw(4)], first=2))
            await book.until(3)
            await sink.close()
            return book

        book = asyncio.run(story())
    assert book.delivered == [0, 1, 2]
    assert len(broker.requests) == 5
    assert seen(broker) == 4


def test_a_connection_that_is_lost_before_the_present_was_sent_owes_it_to_the_next():
    fail = [False]

    def answer(entities):
        if entities[0]["id"] == NORTH and fail[0] and second(entities[0]["pm25"]["observedAt"]) == 3:
            return 500, {"title": "no"}, []
        return None

    with ContextBroker() as broker:
        broker.answer = answer

        async def story():
            sink, book = make_sink("city", options("ngsi-ld", urls=(broker.url,)), site=SITE), Book()
            await sink.open(book)
            await sink.send(parcels([raw(3)]))
            await book.until(1)
            fail[0] = True
            await sink.send(parcels([late(raw(1))], first=1))
            await until(lambda: sink.down() is not None)
            await sink.close()
            assert (seen(broker), book.delivered) == (1, [0, 1])
            fail[0] = False
            await sink.open(book)
            await sink.send(parcels([raw(1, series=METER)], first=2))
            await book.until(3)
            await until(lambda: not sink._present.behind(limit=1))
            await sink.close()

        asyncio.run(story())
        assert seen(broker) == 3


steps = st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.booleans()), max_size=40)


@given(steps)
def test_the_broker_shows_the_newest_that_was_read(story):
    """Any order of live and late records, with bad values in between: each attribute is the last that was told."""
    entities = Entities(SITE)
    present, shown, newest, live = Present(entities), {}, {}, 0
    for seq, good, behind_time in story:
        live += not behind_time
        number = min(seq, live) if behind_time else live
        record = raw(number, codes=(0, 0 if good else 201), values=(float(number), nan if not good else 1.0))
        record = late(record) if behind_time else record
        form = entities.entity(record)
        names = [name for name, x in form.items() if isinstance(x, dict) and "observedAt" in x]
        shown |= {name: form[name] for name in names}
        newest |= {name: max(newest.get(name, 0), number) for name in names}
        present.note(record, form["id"], names=names)
        for owed in present.behind(limit=10):
            assert set(owed) - set(shown) <= {"id", "type", "@context"}
            shown |= {name: x for name, x in owed.items() if name in shown}
            present.restored(owed["id"])
        assert {name: second(x["observedAt"]) for name, x in shown.items()} == newest


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(ngsi_present, "KEPT", 3)
    present = Present(Entities(SITE))
    for number in range(9):
        for record in (raw(2), late(raw(1))):
            present.note(record, f"e{number % 5}", names=("pm25",))
    assert len(present._known) == 3
    assert len(present.behind(limit=9)) == 3


def test_a_window_is_observed_at_its_end():
    assert observed_ms(window(0)) == T0_MS + 3_600_000
    assert observed_ms(raw(1)) == T0_MS + 1000
