"""A device with data of people stands on its operator's page, not in the open data: from the config to both pages."""

import json
import time

import pytest
from live_desk import rfc

from gateway.clock import FakeClock
from gateway.config.load import load
from gateway.health import Health
from gateway.inventory import described, inventory
from gateway.sinks import Site
from gateway.sinks.announce import device_meta
from gateway.web import export
from gateway.web.broker_source import BrokerSource, Door
from gateway.web.local_source import LocalSource
from gateway.web.picture import Picture

CONFIG = """schema = 1
[gateway]
id = "gw-1"
city = "khon-kaen"
[bus.b]
kind = "serial"
port = "/dev/null"
line = "9600 8N1"
[device.main-meter]
bus = "b"
unit = 1
profile = "eastron-sdm120"
[device.flat-12]
bus = "b"
unit = 2
profile = "eastron-sdm120"
name = { en = "Mrs X, flat 12" }
personal = true
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    items = inventory(load(path).config)
    every = tuple(series for item in items for series in item.series.values())
    return Site(
        city="kk", gateway="gw-1", version="0", boot="b", epoch="0-0", config_hash="h", name={}, location=None,
        series=every, devices=described(items), streams=("raw", "15m"),
    )  # fmt: skip


def by_socket(site, tmp_path):
    health = Health(
        gateway={"id": "gw-1", "city": "kk", "streams": list(site.streams)}, series=site.series, state_dir=tmp_path,
        now_ms=lambda: 0, mono_s=lambda: 0.0, trusted=lambda: True, seen={}, labels=site.devices,
    )  # fmt: skip
    picture = Picture()
    LocalSource(tmp_path, clock=FakeClock(wall_ms=0))._begin(picture, health.snapshot())
    for series in site.series:
        picture.reading("gw-1", {"device": series.id, "stream": "raw", "t": rfc(), "v": {"voltage": 230.0}})
    return picture


def by_broker(site, _tmp_path):
    picture = Picture()
    source = BrokerSource(Door("h", 1), prefix="citygate", clock=FakeClock(wall_ms=0))
    for series in site.series:
        source.take(picture, f"citygate/kk/gw-1/{series.id}/meta", payload=device_meta(site, series))
        raw = json.dumps({"t": rfc(), "v": {"voltage": 230.0}}).encode()
        source.take(picture, f"citygate/kk/gw-1/{series.id}/raw", payload=raw)
    return picture


@pytest.mark.parametrize("page", [by_socket, by_broker])
def test_open_data_leaves_personal_devices_out(site, tmp_path, page):
    picture = page(site, tmp_path)
    assert {device.about["id"] for device in picture.devices.values()} == {"main-meter", "flat-12"}
    assert {row["device"] for row in export.rows(picture, round(time.time() * 1000))} == {"main-meter"}
    assert {device.about["window"] for device in picture.devices.values()} == {"15m"}
