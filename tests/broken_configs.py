"""A table of broken configs: each row is one change to a good config, with the code and the line that must be told."""

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
_TABLES = {
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
_REQUIRED = {
    ("gateway", "id"), ("gateway", "city"), ("bus.rs485", "kind"), ("bus.rs485", "port"), ("bus.plc", "host"),
    ("device.feeder-2", "bus"), ("device.feeder-2", "profile"), ("device.feeder-2", "unit"), ("sink.city", "kind"),
    ("sink.city", "urls"), ("sink.platform", "org"), ("sink.platform", "bucket"), ("sink.platform", "token_file"),
    ("sink.archive", "path"),
}  # fmt: skip


def _table(header: str) -> str:
    start = GOOD.index(f"[{header}]\n")
    end = GOOD.find("\n\n", start)
    return GOOD[start:end]


def _with(header: str, key: str, value: str, *, name: str = "", code: str, hint: str = "", at: str = "") -> Broken:
    """Set `key` of the table to `value` (written as TOML)."""
    table = _table(header)
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


def _misspelled(key: str) -> str:
    at = 2 if len(key) > 4 else 1
    wrong = key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :] if len(key) > 3 else key
    return wrong if wrong != key else key + key[-1]


def _typos():
    for header, keys in _TABLES.items():
        for key in keys:
            wrong = _misspelled(key)
            table = _table(header)
            new = table.replace(f"\n{key} =", f"\n{wrong} =", 1)
            yield Broken(f"typo {header}.{wrong}", table, new, "CG-CFG-01", f"{wrong} =", key)


def _types():
    for header, keys in _TABLES.items():
        for key in keys:
            bad = '"7"' if key == "unit" else "[1]" if key in {"port", "name", "location"} else "7.5"
            code = "CG-CFG-04" if key in _CHOICES.get(header, ()) else "CG-CFG-03"
            yield _with(header, key, bad, code=code)
    yield _with("clock", "trust", "true", code="CG-CFG-04")
    yield _with("sink.platform", "rev_tag", '"yes"', code="CG-CFG-03")
    yield _with("bus.rs485", "echo", "1", code="CG-CFG-03")
    yield _with("device.chiller", "every", "07:32:00", code="CG-CFG-03")
    yield _with("device.chiller", "personal", "1979-05-27", code="CG-CFG-03")
    yield _with("sink.city", "streams", '["1m", 5]', code="CG-CFG-03")
    yield _with("sink.city", "urls", '"mqtts://a:1"', code="CG-CFG-03")
    yield _with("gateway", "location", '{ latitude = "16", longitude = 102.0 }', code="CG-CFG-03")
    yield _with("gateway", "location", "{ latitude = 16.0 }", code="CG-CFG-05")
    yield _with("gateway", "location", "{ lat = 16.0, lon = 102.0 }", code="CG-CFG-01")


_CHOICES = {
    "clock": ["trust"], "bus.rs485": ["kind"], "bus.plc": ["kind", "framing"], "device.chiller": ["kind"],
    "sink.city": ["kind", "protocol", "encoding", "no_subscriber", "start"], "sink.platform": ["kind", "api"],
    "sink.archive": ["kind", "format"],
}  # fmt: skip
_NEAR = {
    ("clock", "trust"): ("kernal", "kernel"), ("bus.rs485", "kind"): ("seriel", "serial"),
    ("bus.plc", "framing"): ("streem", "stream"), ("device.chiller", "kind"): ("enrgy", "energy"),
    ("sink.city", "kind"): ("mqt", "mqtt"), ("sink.city", "protocol"): ("autoo", "auto"),
    ("sink.city", "encoding"): ("jsn", "json"), ("sink.city", "no_subscriber"): ("hodl", "hold"),
    ("sink.city", "start"): ("oldst", "oldest"), ("sink.platform", "api"): ("v22", "v2"),
    ("sink.platform", "kind"): ("influx", "influxdb"), ("sink.archive", "format"): ("json", "jsonl"),
}  # fmt: skip


def _choices():
    for (header, key), (bad, near) in _NEAR.items():
        yield _with(header, key, f'"{bad}"', code="CG-CFG-04", hint=near)
    yield _with("windows", "lengths", '["1m", "2m"]', code="CG-CFG-04")
    yield _with("windows", "lengths", '["60s"]', code="CG-CFG-04")
    yield _with("sink.city", "streams", '["1m", "evnt"]', code="CG-CFG-04", hint="event")
    yield _with("sink.city", "streams", '["live"]', code="CG-CFG-04")


def _missing():
    for header, key in sorted(_REQUIRED):
        table = _table(header)
        rows = [row for row in table.split("\n") if not row.startswith(f"{key} =")]
        code = "CG-CFG-14" if key == "unit" else "CG-CFG-05"
        yield Broken(f"missing {header}.{key}", table, "\n".join(rows), code, f"[{header}]")
    yield Broken("missing schema", "schema = 1\n\n[gateway]", "[gateway]", "CG-CFG-05", "[gateway]")


_BAD_IDS = ("Meter", "meter_1", "-meter", "meter-", "a b", "ม", "x" * 33, "", "m.1", "a/b", "a+", "#")
_RESERVED = ("status", "health", "meta", "event", "raw", "cmd")


def _ids():
    for bad in _BAD_IDS:
        yield _with("gateway", "id", f'"{bad}"', code="CG-CFG-07")
        yield Broken(f"device {bad!r}", "[device.feeder-2]", f'[device."{bad}"]', "CG-CFG-07")
        yield Broken(
            f"bus {bad!r}", "[sink.city]", f'[bus."{bad}"]\nkind = "tcp"\nhost = "h"\n\n[sink.city]', "CG-CFG-07"
        )
        yield Broken(f"sink {bad!r}", "[sink.archive]", f'[sink."{bad}"]', "CG-CFG-07")
    for bad in _RESERVED:
        yield _with("gateway", "id", f'"{bad}"', code="CG-CFG-08")
        yield Broken(f"device {bad}", "[device.feeder-2]", f"[device.{bad}]", "CG-CFG-08")
        yield Broken(f"sink {bad}", "[sink.archive]", f"[sink.{bad}]", "CG-CFG-08")


_BAD_DURATIONS = ("1", "1 second", "s", "-1s", "0s", "1e3s", "1,5s", "1s ", "", "PT1S", "1 S")


def _amounts():
    for bad in _BAD_DURATIONS:
        for header, key in (
            ("device.chiller", "every"), ("clock", "max_wait"), ("journal", "keep"), ("journal", "cap"),
            ("sink.city", "keepalive"), ("sink.platform", "raw_every"),
        ):  # fmt: skip
            yield _with(header, key, f'"{bad}"', code="CG-CFG-18")
    for bad in ("64", "64 kB", "64 kb/s", "-1 kB/s", "0 B/s", "64 kB/min", "fast"):
        yield _with("sink.city", "backfill_rate", f'"{bad}"', code="CG-CFG-18")
    for bad in ("3 GB", "3/month", "3 GB/year", "0 GB/month", "3 GiB/month", "-3 GB/month", "3GB per month"):
        yield _with("sink.city", "budget", f'"{bad}"', code="CG-CFG-18")
    for header, key, bad in (
        ("device.chiller", "every", "10ms"), ("device.chiller", "every", "2d"), ("sink.city", "keepalive", "1s"),
        ("sink.city", "keepalive", "19h"), ("clock", "max_wait", "31d"), ("clock", "max_wait", "100ms"),
        ("journal", "commit", "6s"), ("journal", "cap", "15 MB"),
    ):  # fmt: skip
        yield _with(header, key, f'"{bad}"', code="CG-CFG-41")


_PM_PORT = 'port = "/dev/serial/by-path/two"\nline = "9600 8N1"\n\n[bus.plc]'


def _wires():
    for bad, near in (
        ("9600", "9600 8N1"),
        ("9600/8-N-1", "9600 8N1"), ("9600,8,E,1", "9600 8E1"), ("8N1", ""), ("9600 8X1", "9600 8N1"),
        ("9600 9N1", "9600 8N1"), ("9600 8N3", "9600 8N1"), ("fast 8N1", ""), ("9600 8n1", "9600 8N1"), ("", ""),
        ("9600  8N1", "9600 8N1"), ("19200 8-O-2", "19200 8O2"),
    ):  # fmt: skip
        yield _with("bus.rs485", "line", f'"{bad}"', code="CG-CFG-19", hint=near)
    yield _with("bus.rs485", "line", '"9600 7E1"', code="CG-CFG-53")
    yield _with("bus.rs485", "line", '"9601 8N1"', code="CG-CFG-51", hint="9600 8N1")
    yield _with("bus.rs485", "port", '"ttyUSB0"', code="CG-CFG-47")
    yield _with("bus.rs485", "port", '"/dev/ttyUSB0"', code="CG-CFG-31")
    yield _with("bus.rs485", "port", '"/dev/ttyACM12"', code="CG-CFG-31")
    yield _with("bus.rs485", "port", '""', code="CG-CFG-47")
    yield _with("bus.rs485", "port", "502", code="CG-CFG-47")
    yield _with("bus.rs485", "port", '"/dev/serial/by-path/two"', code="CG-CFG-17", at=_PM_PORT)
    yield _with("bus.rs485", "host", '"10.0.0.1"', code="CG-CFG-21")
    yield _with("bus.rs485", "framing", '"rtu"', code="CG-CFG-21")
    yield _with("bus.plc", "line", '"9600 8N1"', code="CG-CFG-21")
    for bad in ("0", "65536", "-1"):
        yield _with("bus.plc", "port", bad, code="CG-CFG-41")
    yield _with("bus.plc", "port", '"502"', code="CG-CFG-41")
    for bad in ("", "http://10.0.0.1", "10.0.0.1:502", "a b", "-x", "host/path", "h" * 254):
        yield _with("bus.plc", "host", f'"{bad}"', code="CG-CFG-50")
    yield Broken(
        "two buses, one host", "[bus.radar]",
        '[bus.again]\nkind = "tcp"\nhost = "192.168.10.20"\n\n[bus.radar]', "CG-CFG-17", "[bus.again]",
    )  # fmt: skip
    yield _with("bus.plc", "framing", '"stream"', code="CG-CFG-13", at='bus = "plc"', hint="tcp")


def _devices():
    yield _with("device.feeder-2", "bus", '"rs458"', code="CG-CFG-10", hint="rs485")
    yield _with("device.feeder-2", "bus", '"nowhere"', code="CG-CFG-10")
    yield _with("device.feeder-2", "bus", '""', code="CG-CFG-10")
    for bad, near in (
        ("eastron-sdm121", "eastron-sdm120"), ("sdm120", ""), ("../../etc/passwd", ""), ("", ""),
        ("Eastron-SDM120", "eastron-sdm120"), ("eastron_sdm120", "eastron-sdm120"),
    ):  # fmt: skip
        yield _with("device.feeder-2", "profile", f'"{bad}"', code="CG-CFG-11", hint=near)
    for bad in ("0", "248", "-1", "1000"):
        yield _with("device.feeder-2", "unit", bad, code="CG-CFG-41")
    yield _with("device.chiller", "unit", "256", code="CG-CFG-41")
    yield _with("device.feeder-2", "unit", "1", code="CG-CFG-16", at='unit = 1\nevery = "2s"\nserial')
    yield _with("device.chiller", "bus", '"pm-head"', code="CG-CFG-15", at='bus = "pm-head"\nprofile = "plantower')
    yield _with("device.chiller", "bus", '"radar"', code="CG-CFG-54", at='bus = "radar"\nprofile = "wavetronix')
    yield _with(
        "device.air-north", "bus", '"plc"', code="CG-CFG-13", at='bus = "plc"\nprofile = "plantower', hint="stream"
    )
    yield _with("device.chiller", "every", '"2h"', code="CG-CFG-52")
    yield _with("device.air-north", "every", '"1s"', code="CG-CFG-38")
    yield _with("device.air-north", "unit", "3", code="CG-CFG-38")
    yield _with("device.chiller", "lanes", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    yield _with("device.chiller", "channels", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    yield _with("device.radar", "channels", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    for bad in ("0", "01", "a", "100", "-1"):
        yield Broken(f"lane {bad}", '1 = { en = "inbound"', f'{bad} = {{ en = "inbound"', "CG-CFG-41")
    yield Broken("generated id declared", "[device.feeder-2]", "[device.radar-lane1]", "CG-CFG-43")
    yield Broken("generated id declared 2", "[device.chiller]", "[device.radar-lane2]", "CG-CFG-43")
    yield Broken(
        "generated id too long", "[device.radar.lanes]", f"[device.{'r' * 30}]\nbus = \"radar\"\n"
        f'profile = "wavetronix-ss125"\nunit = 9\n\n[device.{"r" * 30}.lanes]', "CG-CFG-07", '1 = { en = "inbound"',
    )  # fmt: skip
    yield _with("device.chiller", "personal", "true", code="CG-CFG-40")
    yield _with("device.chiller", "name", '{ english = "x" }', code="CG-CFG-48")
    yield _with("device.chiller", "name", '{ EN = "x" }', code="CG-CFG-48", hint="en")
    yield _with("device.chiller", "name", '{ en = "" }', code="CG-CFG-49")
    yield _with("device.chiller", "name", '{ en = "a\\nb" }', code="CG-CFG-49")
    yield _with("device.chiller", "name", f'{{ th = "{"ก" * 201}" }}', code="CG-CFG-49")


def _site():
    for bad, near in (
        ("khonkaen", "khon-kaen"),
        ("chon-buri", "chonburi"),
        ("nakorn-sri-thammarat", "nakhon-si-thammarat"),
        ("atlantis", ""),
    ):
        yield _with("gateway", "city", f'"{bad}"', code="CG-CFG-26", hint=near)
    for bad in ("Asia/Bangkog", "Bangkok", "../etc", "", "/etc/localtime"):
        yield _with(
            "gateway", "timezone", f'"{bad}"', code="CG-CFG-27", hint="Asia/Bangkok" if bad == "Asia/Bangkog" else ""
        )
    for bad in ('"state"', '"../x"', '"/var/../etc"', '""'):
        yield _with("gateway", "state_dir", bad, code="CG-CFG-47")
    yield _with(
        "gateway",
        "location",
        "{ latitude = 102.8236, longitude = 16.4322 }",
        code="CG-CFG-28",
        hint="latitude = 16.4322",
    )
    yield _with("gateway", "location", "{ latitude = 91.0, longitude = 200.0 }", code="CG-CFG-28")
    yield _with("gateway", "location", "{ latitude = nan, longitude = 102.0 }", code="CG-CFG-28")
    yield _with("gateway", "location", "{ latitude = inf, longitude = 102.0 }", code="CG-CFG-28")
    yield _with("gateway", "location", "{ latitude = 48.1, longitude = 11.6 }", code="CG-CFG-29")
    yield _with("gateway", "location", "{ latitude = 0, longitude = 0 }", code="CG-CFG-29")
    yield _with("device.air-north", "location", "{ latitude = 1.0, longitude = 1.0 }", code="CG-CFG-29")
    yield _with("windows", "lengths", '["1m", "1m"]', code="CG-CFG-46")
    yield Broken("schema 2", "schema = 1", "schema = 2", "CG-CFG-04")
    yield Broken("schema text", "schema = 1", 'schema = "1"', "CG-CFG-04")


def _sinks():
    for bad, near in (
        ("mqtt.example.go.th", "mqtt://mqtt.example.go.th"), ("http://mqtt:1883", "mqtt"), ("tcp://mqtt:1883", "mqtt://mqtt:1883"),
        ("mqtts://", ""),
        ("mqtts://:8883", ""), ("mqtts://h:99999", ""), ("mqtts://h:0", ""), ("mqtts://h/path", ""), ("", ""),
        ("mqtts://h h", ""), ("ssl://h:8883", "mqtts://h:8883"), ("wss://h/mqtt", ""), ("mqtts://[::1", ""),
    ):  # fmt: skip
        yield _with("sink.city", "urls", f'["{bad}"]', code="CG-CFG-20", hint=near)
    for bad, near in (
        ("influx:8086", "http://influx:8086"),
        ("mqtt://h", ""),
        ("htps://h:1", "https://h:1"),
        ("file:///x", ""),
    ):
        yield _with("sink.platform", "urls", f'["{bad}"]', code="CG-CFG-20", hint=near)
    yield _with("sink.city", "urls", "[]", code="CG-CFG-05", at="[sink.city]")
    yield _with("sink.city", "urls", '["mqtts://user:canary-secret@h:8883"]', code="CG-CFG-35")
    yield _with("sink.platform", "urls", '["https://canary-secret@h"]', code="CG-CFG-35")
    yield _with(
        "sink.city", "urls", '["mqtt://mqtt.example.go.th"]', code="CG-CFG-39", hint="mqtts://mqtt.example.go.th"
    )
    yield _with("sink.archive", "kind", '"memory"', code="CG-CFG-25")
    for key, value in (
        ("bucket", '"b"'),
        ("path", '"/x"'),
        ("format", '"csv"'),
        ("api", '"v2"'),
        ("token_file", '"influx.token"'),
    ):
        yield _with("sink.city", key, value, code="CG-CFG-21")
    for key, value in (
        ("topic", '"x"'),
        ("encoding", '"json"'),
        ("no_subscriber", '"hold"'),
        ("client_id", '"x"'),
        ("path", '"/x"'),
    ):
        yield _with("sink.platform", key, value, code="CG-CFG-21")
    for key, value in (("urls", '["http://h"]'), ("username", '"u"'), ("bucket", '"b"')):
        yield _with("sink.archive", key, value, code="CG-CFG-21")
    for key, near in (("password", "password_file"), ("token", "token_file"), ("url", "urls"), ("prefix", "topic")):
        header = "sink.platform" if key == "token" else "sink.city"
        yield _with(header, key, '"canary-secret"', code="CG-CFG-01", hint=near)
    for key, near in (("baud", "line"), ("buad", "line"), ("parity", "line"), ("device", "port")):
        yield _with("bus.rs485", key, "9600", code="CG-CFG-01", hint=near)
    for key, near in (("slave_id", "unit"), ("interval", "every"), ("model", "profile")):
        yield _with("device.chiller", key, "1", code="CG-CFG-01", hint=near)
    yield _with("sink.platform", "api", '"v1"', code="CG-CFG-05", at="[sink.platform]")
    yield _with("sink.platform", "api", '"v3"', code="CG-CFG-05", at="[sink.platform]")
    for key, header in (("password_file", "sink.city"), ("token_file", "sink.platform"), ("ca_file", "sink.city")):
        yield _with(header, key, '"absent"', code="CG-CFG-22")
        yield _with(header, key, '"."', code="CG-CFG-22")
        yield _with(header, key, '"empty"', code="CG-CFG-45")
        yield _with(header, key, '""', code="CG-CFG-22")
    for name in ("open-to-group", "open-to-all"):
        yield _with("sink.city", "password_file", f'"{name}"', code="CG-CFG-23")
        yield _with("sink.platform", "token_file", f'"{name}"', code="CG-CFG-23")
    yield _with("sink.city", "cert_file", '"ca.pem"', code="CG-CFG-56")
    yield _with("sink.city", "key_file", '"mqtt.password"', code="CG-CFG-56")
    table = _table("sink.city")
    yield Broken(
        "password without username", table, table.replace('username = "kkc-0412"\n', ""), "CG-CFG-56", "password_file"
    )
    yield _with("sink.city", "streams", '["5s"]', code="CG-CFG-24")
    yield _with("sink.city", "streams", '["1m", "1d"]', code="CG-CFG-24")
    yield _with("sink.city", "streams", "[]", code="CG-CFG-59")
    yield _with("sink.city", "devices", "[]", code="CG-CFG-59")
    yield _with("sink.city", "devices", '["!feeder-2"]', code="CG-CFG-59")
    yield _with("sink.city", "devices", '["*", "!feeder-3"]', code="CG-CFG-34", hint="!feeder-2")
    yield _with("sink.city", "devices", '["radar-lane3"]', code="CG-CFG-34", hint="radar-lane")
    yield _with("sink.city", "devices", '["x-*"]', code="CG-CFG-34")
    yield _with("sink.city", "kinds", '["aire"]', code="CG-CFG-34", hint="air")
    yield _with("sink.city", "points", '["pm25"]', code="CG-CFG-34", hint="pm2_5")
    for bad, near in (
        ("citygate/#", ""), ("citygate/+/x", ""), ("/citygate", ""), ("citygate/", ""), ("a//b", ""), ("$SYS/x", ""),
        ("citygate/{gatway}", "{gateway}"), ("citygate/{", ""), ("", ""), ("{device}/{gateway}", ""),
    ):  # fmt: skip
        yield _with("sink.city", "topic", f'"{bad}"', code="CG-CFG-36", hint=near)
    yield _with("sink.city", "topic", '"citygate/all"', code="CG-CFG-61")
    yield _with("sink.city", "client_id", '""', code="CG-CFG-60")
    yield _with("sink.city", "client_id", '"a b"', code="CG-CFG-60")
    table = _table("sink.platform")
    yield Broken("raw_every without raw", table, table.replace('"raw", ', ""), "CG-CFG-58", "raw_every")
    yield Broken(
        "two file sinks, one path", "[sink.archive]",
        '[sink.other]\nkind = "file"\npath = "/var/lib/citygate/archive.jsonl"\n\n[sink.archive]', "CG-CFG-42",
        'path = "/var/lib/citygate/archive.jsonl"\nformat',
    )  # fmt: skip
    yield _with("clock", "trust", '"http"', code="CG-CFG-66")


def _syntax():
    for name, old, new in (
        ("no quote", 'id = "kkc-0412"\n', 'id = "kkc-0412\n'),
        ("no value", "unit = 255", "unit ="),
        ("no equals", "unit = 255", "unit 255"),
        ("bare text", 'kind = "energy"', "kind = energy"),
        ("yaml", 'kind = "energy"', "kind: energy"),
        ("no bracket", "[sink.city]", "[sink.city"),
        ("stray bracket", "[clock]", "[clock]]"),
        ("bad escape", 'org = "khon-kaen"', 'org = "khon\\kaen"'),
        ("bad number", "unit = 255", "unit = 0255"),
        ("two values", "unit = 255", "unit = 255 256"),
        ("tab in key", "unit = 255", "un\tit = 255"),
        ("smart quotes", 'org = "khon-kaen"', "org = “khon-kaen”"),
        ("inline table open", '1 = { en = "inbound", th = "ขาเข้า" }', '1 = { en = "inbound"'),
        ("semicolon", "unit = 255", "unit = 255;"),
    ):
        yield Broken(f"syntax: {name}", old, new, "CG-CFG-02")
    yield Broken("key twice", "unit = 255", "unit = 255\nunit = 3", "CG-CFG-06", "unit = 3")
    yield Broken(
        "table twice", "[windows]", '[clock]\ntrust = "rtc"\n\n[windows]', "CG-CFG-06", '[clock]\ntrust = "rtc"'
    )
    yield Broken(
        "device twice",
        "[windows]",
        "[device.chiller]\nunit = 3\n\n[windows]",
        "CG-CFG-06",
        "[device.chiller]\nunit = 3",
    )
    for top in ("bus", "device", "sink"):
        yield Broken(f"{top} is no table", "schema = 1", f"schema = 1\n{top} = 3", "CG-CFG-02", f"[{top}.")
    yield Broken("unknown table", "[windows]", "[windowz]\n\n[windows]", "CG-CFG-01", hint="windows")
    yield Broken("unknown top key", "schema = 1", "schema = 1\nversion = 3", "CG-CFG-01", "version")
    yield Broken("plural table", "[device.feeder-2]", "[devices.feeder-2]", "CG-CFG-01", hint="device")
    yield Broken(
        "array of tables",
        "[device.feeder-2]",
        '[[sinks]]\nkind = "mqtt"\n\n[device.feeder-2]',
        "CG-CFG-01",
        "[[sinks]]",
    )


ROWS = [row for rows in (
    _typos, _types, _choices, _missing, _ids, _amounts, _wires, _devices, _site, _sinks, _syntax,
) for row in rows()]  # fmt: skip
