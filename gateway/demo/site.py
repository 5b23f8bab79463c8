"""The demo's config: the files that a real site would have, for the simulated city."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STREAMS: Final = '["raw", "5s", "1m", "15m", "1h", "event"]'


@dataclass(frozen=True, slots=True)
class Database:
    """Where the influxdb sink of the demo writes: `api` v1 (influxd) or v2 (VictoriaMetrics)."""

    name: str
    url: str
    api: str


def gateway_toml(folder: Path, *, broker_url: str, database: Database | None, tcp: Mapping[str, int]) -> str:
    """The text of gateway.toml; simulated ports are symlinks in `folder`/ports."""
    wires = _WIRES.format(ports=folder / "ports", plc=tcp["plc"])
    sinks = _sinks(folder, broker_url=broker_url, database=database)
    return _HEAD.format(state=folder / "state") + wires + _DEVICES + sinks


_HEAD = """\
schema = 1

[gateway]
id = "demo-001"
city = "khon-kaen"
name = {{ en = "Demo cabinet, Sri Chan Road", th = "ตู้สาธิต ถนนศรีจันทร์" }}
location = {{ latitude = 16.4322, longitude = 102.8236 }}
state_dir = "{state}"

[clock]
trust = "system"

[windows]
lengths = ["5s", "1m", "15m", "1h"]
"""

_WIRES = """
[bus.pm-head]
kind = "serial"
port = "{ports}/pm-head"
line = "9600 8N1"

[bus.rs485]
kind = "serial"
port = "{ports}/rs485"
line = "9600 8N1"

[bus.radar]
kind = "serial"
port = "{ports}/radar"
line = "9600 8N1"

[bus.speed]
kind = "serial"
port = "{ports}/speed"
line = "19200 8N1"

[bus.level]
kind = "serial"
port = "{ports}/level"
line = "9600 8N1"

[bus.plc]
kind = "tcp"
host = "127.0.0.1"
port = {plc}
"""

_DEVICES = """
[device.air-north]
bus = "pm-head"
profile = "plantower-pms5003"
name = { en = "Air, north pole", th = "คุณภาพอากาศ เสาทิศเหนือ" }
location = { latitude = 16.4391, longitude = 102.8263 }

[device.main-meter]
bus = "rs485"
profile = "eastron-sdm630"
unit = 1
every = "1s"
name = { en = "Main meter", th = "มิเตอร์หลัก" }
options = { demand_limit_kw = 60.0 }

[device.feeder-2]
bus = "rs485"
profile = "eastron-sdm120"
unit = 2
every = "1s"
name = { en = "Feeder 2", th = "สายป้อน 2" }

[device.chiller]
bus = "plc"
profile = "schneider-pm5xxx"
unit = 255
every = "1s"
name = { en = "Chiller", th = "เครื่องทำน้ำเย็น" }

[device.radar]
bus = "radar"
profile = "wavetronix-ss125"
unit = 1
every = "5s"
name = { en = "Mittraphap Road radar", th = "เรดาร์ถนนมิตรภาพ" }
location = { latitude = 16.4342, longitude = 102.8132 }

[device.radar.lanes]
1 = { en = "inbound kerb", th = "ขาเข้า ชิดขอบทาง" }
2 = { en = "inbound centre", th = "ขาเข้า กลาง" }
3 = { en = "outbound centre", th = "ขาออก กลาง" }
4 = { en = "outbound kerb", th = "ขาออก ชิดขอบทาง" }

[device.speed-sign]
bus = "speed"
profile = "omnipresense-ops243"
name = { en = "School zone speed sign", th = "ป้ายความเร็ว เขตโรงเรียน" }
location = { latitude = 16.4264, longitude = 102.8301 }

[device.canal]
bus = "level"
profile = "maxbotix-hrxl"
name = { en = "Canal level", th = "ระดับน้ำคลอง" }
location = { latitude = 16.4203, longitude = 102.8208 }
options = { sensor_height = 4.2, gauge_zero = 0.0, ground = 0.0, bank = 3.5 }
"""


def _sinks(folder: Path, *, broker_url: str, database: Database | None) -> str:
    text = f"""
[sink.broker]
kind = "mqtt"
urls = ["{broker_url}"]
streams = {STREAMS}
"""
    if database is None:
        return (
            text
            + f"""
[sink.database]
kind = "file"
path = "{folder / "database.lp"}"
format = "lp"
streams = {STREAMS}
"""
        )
    place = 'database = "citygate"' if database.api == "v1" else 'org = "demo"\nbucket = "citygate"'
    return (
        text
        + f"""
[sink.database]
kind = "influxdb"
urls = ["{database.url}"]
api = "{database.api}"
{place}
streams = {STREAMS}
"""
    )
