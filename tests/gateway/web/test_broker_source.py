"""The city from its broker: real mosquitto, real process; and whatever else may stand on a topic."""

import json

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_desk import LivePage, rfc
from parts import poll

from gateway.clock import FakeClock
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
    picture = Picture()
    source = BrokerSource(Door("h", 1), prefix="citygate", clock=FakeClock(wall_ms=1_790_000_000_000))
    for topic, form in messages:
        source.take(picture, topic, payload=form if isinstance(form, bytes) else json.dumps(form).encode())
    return source, picture


def test_windows_that_come_before_their_meta_are_kept():
    _, picture = taken(("citygate/kk/gw-1/air/1h", window(i=FIGURES)), ("citygate/kk/gw-1/air/meta", META))
    shown = picture.snapshot()["devices"]["gw-1/air"]
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
    assert picture.gateways["gw-1"] == picture.gateways["gw-1"] | {"up": False, "name": {"en": "North", "th": ""}}
    assert [alarm["code"] for alarm in picture.alarms.values()] == ["CG-BUS-01"]
    _, picture = taken(("citygate/kk/gw-1/event", event), ("citygate/kk/gw-1/event", event | {"state": "cleared"}))
    assert picture.alarms == {}


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
        with LivePage(tmp_path, "--broker", mosquitto.url) as live:
            live.ready()
            poll(lambda: len(snapshot(live)["devices"]) == 3, what="three devices from retained meta")
            client.publish("citygate/kk/gw-1/air/1m", json.dumps(window()), qos=1).wait_for_publish(5)
            poll(lambda: snapshot(live)["devices"]["gw-1/air"].get("v") == {"pm2_5": 33.3}, what="the window")
            client.publish("citygate/kk/gw-2/status", json.dumps({"state": "offline"}), qos=1, retain=True)
            poll(lambda: snapshot(live)["gateways"]["gw-2"]["up"] is False, what="the will")
            assert live.get("/api/history?key=gw-1/air")[0] == 503
            mosquitto.stop()
            poll(lambda: live.get("/readyz")[0] == 503, what="the page to notice")
            mosquitto.start()
            poll(lambda: live.get("/readyz")[0] == 200, what="the page to come back")
    finally:
        client.disconnect()
        client.loop_stop()


def snapshot(live):
    return json.loads(live.get("/api/snapshot")[2])
