"""The city from its broker: real mosquitto, real process; and whatever else may stand on a topic."""

import asyncio
import json
import time

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_desk import LivePage, rfc
from parts import poll

from firmware_sims.broker import Broker
from firmware_sims.broker_session import Script
from gateway.clock import FakeClock
from gateway.web import export, metrics, page
from gateway.web.broker_source import BrokerSource, Door
from gateway.web.picture import Picture
from gateway.web.stream import Stream

META = {"schema": 1, "id": "air", "kind": "air", "name": {"en": "Air", "th": "อากาศ"}, "profile": "x-y", "every_s": 1.0}
META |= {"points": {"pm2_5": {"unit": "ug/m3", "kind": "gauge", "resolution": 0.1, "limits": {}}}, "streams": ["1m"]}
GATEWAY = {
    "schema": 1,
    "id": "gw-1",
    "city": "kk",
    "name": {"en": "North"},
    "location": {"latitude": 1, "longitude": 2},
}
FIGURES = {"aqi_th": {"value": 120, "level": 4, "rule": "TH2023", "span": "24h", "coverage": 1.0}}


def window(stream="1m", **more):
    return {"t": rfc(60), "end": rfc(), "n": 60, "v": {"pm2_5": {"mean": 33.3, "min": 30, "max": 40}}} | more


def taken(*messages):
    picture = Picture(lambda: round(time.time() * 1000))
    source = BrokerSource(Door("h", 1), prefix="citygate", clock=FakeClock(wall_ms=1_790_000_000_000))
    for topic, form in messages:
        source.take(picture, topic, payload=form if isinstance(form, bytes) else json.dumps(form).encode())
    return source, picture


def test_windows_that_come_before_their_meta_are_kept():
    _, picture = taken(("citygate/kk/gw-1/air/1h", window(i=FIGURES)), ("citygate/kk/gw-1/air/meta", META))
    shown = picture.snapshot()["devices"]["kk/gw-1/air"]
    assert shown["v"] == {"pm2_5": 33.3}
    assert shown["step"] == 3600
    assert shown["figures"]["aqi_th"]["level"] == 4


def test_an_empty_meta_removes_the_device():
    _, picture = taken(("citygate/kk/gw-1/air/meta", META), ("citygate/kk/gw-1/air/meta", b""))
    assert picture.devices == {}


def test_status_and_events():
    event = {
        "t": rfc(),
        "id": "a",
        "type": "alarm",
        "code": "CG-BUS-01",
        "state": "raised",
        "text": {"en": "x", "th": "y"},
    }
    _, picture = taken(
        ("citygate/kk/gw-1/meta", GATEWAY), ("citygate/kk/gw-1/status", {"state": "offline"}),
        ("citygate/kk/gw-1/event", event),
    )  # fmt: skip
    assert picture.gateways["kk/gw-1"] == picture.gateways["kk/gw-1"] | {"up": False, "name": {"en": "North", "th": ""}}
    assert [alarm["code"] for alarm in picture.alarms.values()] == ["CG-BUS-01"]
    _, picture = taken(("citygate/kk/gw-1/event", event), ("citygate/kk/gw-1/event", event | {"state": "cleared"}))
    assert picture.alarms == {}


HUGE = b"1" + b"0" * 400
HARMFUL = [
    ("air/meta", b'{"points":{"pm2_5":{}},"location":{"latitude":%b,"longitude":1}}' % HUGE),
    ("meta", b'{"id":"gw-1","location":{"latitude":1,"longitude":%b}}' % HUGE),
    ("air/raw", b'{"t":"2026-11-21T02:00:00.000Z","v":{"pm2_5":%b}}' % HUGE),
    ("air/raw", b'{"t":"2026-11-21T02:00:00.000Z","epoch":"0000002a-9f3c","seq":%b,"v":{"pm2_5":1}}' % HUGE),
    ("air/raw", b'{"t":"0001-01-01T00:00:00+14:00","v":{"pm2_5":1}}'),
    ("air/raw", b'{"t":"9999-12-31T23:59:59.999-14:00","v":{"pm2_5":1}}'),
    ("air/raw", b'{"t":"2026-11-21T02:00:00.000Z","v":{"pm2_5":1e308}}'),
    ("health", b'{"t":"2026-11-21T02:00:00.000Z","sinks":{"a":5},"buses":[1]}'),
    ("health", b'{"t":"2026-11-21T02:00:00.000Z","sinks":5,"uptime_s":"a","clock":7}'),
    ("health", b'{"t":"2026-11-21T02:00:00.000Z","sinks":{"a":{"state":[],"waiting":"x"}},"uptime_s":%b}' % HUGE),
    ("status", b'{"state":"online","t":{"a":1}}'),
    ("event", b"[" * 200_000),
    ("event", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
]


@pytest.mark.parametrize(("topic", "payload"), HARMFUL, ids=range(len(HARMFUL)))
def test_no_message_of_one_gateway_harms_the_page_of_the_city(topic, payload):
    source, picture = taken(("citygate/kk/gw-1/air/meta", META), (f"citygate/kk/gw-1/{topic}", payload))
    metrics.text(picture, now_ms=1_790_000_000_000, streams=0, refused={})
    page.front(picture, lang="en", now_ms=1_790_000_000_000, chart=False)
    Stream(picture, clock=FakeClock(wall_ms=1_790_000_000_000), mark="x").tick()
    raw = {"t": rfc(), "epoch": "0000002a-9f3c", "seq": 9, "v": {"pm2_5": 33.3}}
    source.take(picture, "citygate/kk/gw-1/air/raw", payload=json.dumps(raw).encode())
    assert picture.devices["kk/gw-1/air"].now["v"] == {"pm2_5": 33.3}


def test_the_same_ids_in_two_cities_are_two():
    at = {"t": rfc(), "v": {"pm2_5": 230.0}}
    _, picture = taken(
        ("citygate/kk/gw-1/air/meta", META), ("citygate/bk/gw-1/air/meta", META),
        ("citygate/kk/gw-1/air/raw", at), ("citygate/bk/gw-1/air/raw", at | {"v": {"pm2_5": 11.0}}),
        ("citygate/bk/gw-1/status", {"state": "offline"}), ("citygate/kk/gw-1/status", {"state": "online"}),
    )  # fmt: skip
    assert {key: one.now["v"] for key, one in picture.devices.items()} == {
        "kk/gw-1/air": {"pm2_5": 230.0}, "bk/gw-1/air": {"pm2_5": 11.0},
    }  # fmt: skip
    assert {key: one["up"] for key, one in picture.gateways.items()} == {"kk/gw-1": True, "bk/gw-1": False}


def test_a_folded_alarm_tells_its_cause():
    event = {"t": rfc(), "id": "a", "type": "alarm", "code": "CG-DEV-01", "state": "raised", "folded_into": "bus"}
    _, picture = taken(("citygate/kk/gw-1/event", event))
    assert picture.alarms["kk/gw-1/a"]["folded_into"] == "bus"


KEYS = [
    "t",
    "end",
    "v",
    "q",
    "i",
    "name",
    "points",
    "state",
    "id",
    "text",
    "location",
    "kind",
    "lane",
    "level",
    "pm2_5",
]
TOPICS = ["status", "meta", "health", "event", "air/meta", "air/raw", "air/1m", "air/1h", "air/event", "air/x", "a/b/c"]
LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=20)
NAMES = st.text(max_size=10) | st.sampled_from(KEYS)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)


@given(st.lists(st.tuples(st.sampled_from(TOPICS), JSON | st.binary(max_size=30)), max_size=8))
def test_foreign_messages_never_hurt(messages):
    made = [(f"citygate/kk/gw-1/{topic}", form) for topic, form in [("air/meta", META), *messages]]
    made.append(("citygate/kk/gw-1/air/1m", window()))
    _, picture = taken(*made)
    stream = Stream(picture, clock=FakeClock(wall_ms=1_790_000_000_000), mark="x")
    stream.tick()
    json.dumps(picture.snapshot())
    metrics.text(picture, now_ms=1_790_000_000_000, streams=0, refused={})
    page.front(picture, lang="en", now_ms=1_790_000_000_000, chart=False)


FOREIGN = [
    "citygate/kk/GW/status",
    "citygate/kk",
    "citygate/../gw-1/status",
    "citygate/kk/<b>/status",
    "other/kk/gw/meta",
]


@pytest.mark.parametrize("topic", FOREIGN)
def test_foreign_topics_are_counted_and_left(topic):
    source, picture = taken((topic, {"state": "online"}))
    assert source.foreign == 1
    assert picture.gateways == {}


def test_passwords_do_not_stand_in_urls():
    with pytest.raises(ValueError, match="mqtts://USER@HOST"):
        Door.of("mqtt://user:secret@host")
    with pytest.raises(ValueError, match="mqtts://USER@HOST"):
        Door.of("http://host")
    assert Door.of("mqtts://hall@host").port == 8883


def test_a_password_that_others_can_read_is_not_taken(tmp_path):
    path = tmp_path / "broker.secret"
    path.write_text("a password\n")
    path.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        Door.of("mqtts://hall@host", password_file=path)
    path.chmod(0o600)
    assert Door.of("mqtts://hall@host", password_file=path).password == "a password"


@pytest.mark.parametrize(("refused", "up"), [({"citygate/#": 0x87}, False), ({}, True)])
def test_a_broker_that_refuses_the_subscription_is_not_called_live(refused, up):
    async def first_word():
        async with Broker(script=Script(suback=refused)) as broker:
            picture = Picture(lambda: 0)
            clock = FakeClock(wall_ms=1_790_000_000_000)
            source = BrokerSource(Door("127.0.0.1", broker.port), prefix="citygate", clock=clock)
            running = asyncio.create_task(source.run(picture))
            async with asyncio.timeout(10):
                while picture.source["since"] is None:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return picture.source

    told = asyncio.run(first_word())
    assert told["up"] is up
    assert told["fact"] == ("" if up else "the broker refuses to let us read (0x80)")


def test_what_was_left_is_in_the_metrics():
    _, picture = taken(("citygate/kk/gw-1/air/meta", b"[]"), ("other/x", {}))
    told = metrics.text(picture, now_ms=1_790_000_000_000, streams=0, refused={})
    assert 'citygate_live_left_total{what="messages"} 2' in told


def test_what_is_not_well_with_a_sink_arrives():
    sink = {"state": "up", "lane": "live", "waiting": 1, "letters": 2, "code": "CG-SNK-04", "warning": "w" * 300}
    form = {"t": rfc(), "sinks": {"broker": sink | {"oldest_t": rfc(9), "other": 1}}, "clock": {"offset_s": 0.5}}
    _, picture = taken(("citygate/kk/gw-1/health", form))
    told = picture.gateways["kk/gw-1"]
    assert told["sinks"]["broker"] == sink | {"oldest_t": form["sinks"]["broker"]["oldest_t"], "warning": "w" * 200}
    assert told["clock"] == {"trusted": False, "offset_s": 0.5}
    source, _ = taken(("citygate/kk/gw-1/health", form | {"sinks": {"broker": {"oldest_t": "<b>"}}}))
    assert source.foreign == 1


def test_short_windows_and_personal_devices_arrive():
    meta = META | {"streams": ["10s", "event"], "personal": True}
    _, picture = taken(("citygate/kk/gw-1/air/meta", meta), ("citygate/kk/gw-1/air/10s", window("10s")))
    shown = picture.snapshot()["devices"]["kk/gw-1/air"]
    assert (shown["v"], shown["step"], shown["window"]) == ({"pm2_5": 33.3}, 10, "10s")
    assert list(export.rows(picture, round(time.time() * 1000))) == []
    _, picture = taken(("citygate/kk/gw-1/air/meta", META | {"streams": 7, "personal": "no"}))
    assert "personal" not in picture.snapshot()["devices"]["kk/gw-1/air"]


@pytest.mark.parts
def test_the_city_view_from_a_real_broker(tmp_path, mosquitto):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    try:
        for number in range(3):
            base = f"citygate/kk/gw-{number}"
            client.publish(f"{base}/meta", json.dumps(GATEWAY | {"id": f"gw-{number}"}), qos=1, retain=True)
            client.publish(f"{base}/status", json.dumps({"t": rfc(), "state": "online"}), qos=1, retain=True)
            client.publish(f"{base}/air/meta", json.dumps(META), qos=1, retain=True).wait_for_publish(5)
        client.publish("citygate/bk/gw-0/air/meta", json.dumps(META), qos=1, retain=True).wait_for_publish(5)
        with LivePage(tmp_path, "--broker", mosquitto.url, "--city", "kk") as live:  # and the other city is not seen
            live.ready()
            poll(lambda: len(snapshot(live)["devices"]) == 3, what="three devices from retained meta")
            client.publish("citygate/kk/gw-1/air/1m", json.dumps(window()), qos=1).wait_for_publish(5)
            poll(lambda: snapshot(live)["devices"]["kk/gw-1/air"].get("v") == {"pm2_5": 33.3}, what="the window")
            client.publish("citygate/kk/gw-2/status", json.dumps({"state": "offline"}), qos=1, retain=True)
            poll(lambda: snapshot(live)["gateways"]["kk/gw-2"]["up"] is False, what="the will")
            assert live.get("/api/history?key=kk/gw-1/air")[0] == 503
            mosquitto.stop()
            poll(lambda: live.get("/readyz")[0] == 503, what="the page to notice")
            mosquitto.start()
            poll(lambda: live.get("/readyz")[0] == 200, what="the page to come back")
    finally:
        client.disconnect()
        client.loop_stop()


def snapshot(live):
    return json.loads(live.get("/api/snapshot")[2])
