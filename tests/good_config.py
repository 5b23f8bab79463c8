"""A good config and what breaks it: one change each, with the code and the line that must be told."""

from dataclasses import dataclass

GOOD = """schema = 1

[gateway]
id = "kkc-0412"
city = "khon-kaen"
name = { en = "Sri Chan Road cabinet", th = "ตู้ถนนศรีจันทร์" }
location = { latitude = 16.4322, longitude = 102.8236 }
state_dir = "{state}"

[clock]
trust = "kernel"
max_wait = "24h"

[journal]
cap = "256 MB"
keep = "72h"
commit = "1s"

[bus.rs485]
kind = "serial"
port = "/dev/serial/by-path/one"
line = "9600 8N1"

[bus.pm-head]
kind = "serial"
port = "/dev/serial/by-path/two"
line = "9600 8N1"

[bus.plc]
kind = "tcp"
host = "192.168.10.20"
port = 502
framing = "tcp"

[bus.radar]
kind = "serial"
port = "/dev/serial/by-path/three"
line = "9600 8N1"

[device.main-meter]
bus = "rs485"
profile = "eastron-sdm630"
unit = 1
every = "2s"

[device.feeder-2]
bus = "rs485"
profile = "eastron-sdm120"
unit = 2
every = "2s"
serial = "12345"

[device.chiller]
bus = "plc"
profile = "schneider-pm5xxx"
unit = 255
every = "5s"
kind = "energy"

[device.air-north]
bus = "pm-head"
profile = "plantower-pms5003"
location = { latitude = 16.4325, longitude = 102.8240, height = 3.5 }

[device.radar]
bus = "radar"
profile = "wavetronix-ss125"
unit = 7
every = "10s"

[device.radar.lanes]
1 = { en = "inbound", th = "ขาเข้า" }
2 = { en = "outbound", th = "ขาออก" }

[windows]
lengths = [
  "1m",  # a comment with ] and "quotes"
  "15m",
  "1h",
]

[sink.city]
kind = "mqtt"
urls = ["mqtts://mqtt.example.go.th:8883"]
protocol = "auto"
username = "kkc-0412"
password_file = "mqtt.password"
topic = "citygate/{city}/{gateway}"
streams = ["1m", "15m", "1h", "event"]
devices = ["*", "!feeder-2"]
kinds = ["*"]
points = ["*"]
encoding = "json"
no_subscriber = "pass"
start = "now"
budget = "3 GB/month"
backfill_rate = "64 kB/s"
keepalive = "30s"
client_id = "kkc-0412-city"
ca_file = "ca.pem"

[sink.platform]
kind = "influxdb"
urls = ["https://influx.example.go.th:8086"]
api = "v2"
org = "khon-kaen"
bucket = "sensors"
token_file = "influx.token"
streams = ["raw", "1m"]
raw_every = "10s"

[sink.archive]
kind = "file"
path = "/var/lib/citygate/archive.jsonl"
format = "jsonl"
"""


@dataclass(frozen=True)
class Broken:
    """Replace `old` (which stands once in GOOD) by `new`; `code` must be told at the line that holds `at`."""

    name: str
    old: str
    new: str
    code: str
    at: str = ""
    hint: str = ""
    warning: bool = False

    @property
    def text(self) -> str:
        assert GOOD.count(self.old) == 1, f"{self.name}: {self.old!r} stands {GOOD.count(self.old)} times"
        return GOOD.replace(self.old, self.new)

    @property
    def line(self) -> int:
        where = self.at or next(row for row in self.new.splitlines() if row.strip())
        text = self.text
        offset = GOOD.index(self.old) + self.new.index(where) if where in self.new else text.index(where)
        return text[:offset].count("\n") + 1


# The line of a key in its table, so that it stands once: (table header, key line).
TABLES = {
    "gateway": ["id", "city", "name", "location", "state_dir"],
    "clock": ["trust", "max_wait"],
    "journal": ["cap", "keep", "commit"],
    "bus.rs485": ["kind", "port", "line"],
    "bus.plc": ["kind", "host", "port", "framing"],
    "device.feeder-2": ["bus", "profile", "unit", "every", "serial"],
    "device.chiller": ["bus", "profile", "unit", "every", "kind"],
    "windows": ["lengths"],
    "sink.city": [
        "kind", "urls", "protocol", "username", "password_file", "topic", "streams", "devices", "kinds", "points",
        "encoding", "no_subscriber", "start", "budget", "backfill_rate", "keepalive", "client_id", "ca_file",
    ],
    "sink.platform": ["kind", "urls", "api", "org", "bucket", "token_file", "streams", "raw_every"],
    "sink.archive": ["kind", "path", "format"],
}  # fmt: skip


def table_of(header: str) -> str:
    start = GOOD.index(f"[{header}]\n")
    end = GOOD.find("\n\n", start)
    return GOOD[start:end]


def put(header: str, key: str, value: str, *, name: str = "", code: str, hint: str = "", at: str = "") -> Broken:
    """Set `key` of the table to `value` (written as TOML)."""
    table = table_of(header)
    rows = table.split("\n")
    place = next((n for n, row in enumerate(rows) if row.startswith(f"{key} =")), None)
    if place is None:
        rows.insert(1, f"{key} = {value}")
    elif rows[place].endswith("["):
        rows[place:] = [f"{key} = {value}"]
    else:
        rows[place] = f"{key} = {value}"
    label = name or f"{header}.{key} = {value}"
    return Broken(label, table, "\n".join(rows), code, at or f"\n{key} = {value}".lstrip("\n"), hint)
