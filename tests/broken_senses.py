"""Broken configs, of the sense: wires, devices, the site and sinks that cannot be or do not fit together."""

from good_config import Broken, put, table_of

_PM_PORT = 'port = "/dev/serial/by-path/two"\nline = "9600 8N1"\n\n[bus.plc]'


def _wires():
    for bad, near in (
        ("9600", "9600 8N1"),
        ("9600/8-N-1", "9600 8N1"), ("9600,8,E,1", "9600 8E1"), ("8N1", ""), ("9600 8X1", "9600 8N1"),
        ("9600 9N1", "9600 8N1"), ("9600 8N3", "9600 8N1"), ("fast 8N1", ""), ("9600 8n1", "9600 8N1"), ("", ""),
        ("9600  8N1", "9600 8N1"), ("19200 8-O-2", "19200 8O2"),
    ):  # fmt: skip
        yield put("bus.rs485", "line", f'"{bad}"', code="CG-CFG-19", hint=near)
    yield put("bus.rs485", "line", '"9600 7E1"', code="CG-CFG-53")
    yield put("bus.rs485", "line", '"9601 8N1"', code="CG-CFG-51", hint="9600 8N1")
    yield put("bus.rs485", "port", '"ttyUSB0"', code="CG-CFG-47")
    yield put("bus.rs485", "port", '"/dev/ttyUSB0"', code="CG-CFG-31")
    yield put("bus.rs485", "port", '"/dev/ttyACM12"', code="CG-CFG-31")
    yield put("bus.rs485", "port", '""', code="CG-CFG-47")
    yield put("bus.rs485", "port", "502", code="CG-CFG-47")
    yield put("bus.rs485", "port", '"/dev/serial/by-path/two"', code="CG-CFG-17", at=_PM_PORT)
    yield put("bus.rs485", "host", '"10.0.0.1"', code="CG-CFG-21")
    yield put("bus.rs485", "framing", '"rtu"', code="CG-CFG-21")
    yield put("bus.plc", "line", '"9600 8N1"', code="CG-CFG-21")
    for bad in ("0", "65536", "-1"):
        yield put("bus.plc", "port", bad, code="CG-CFG-41")
    yield put("bus.plc", "port", '"502"', code="CG-CFG-41")
    for bad in ("", "http://10.0.0.1", "10.0.0.1:502", "a b", "-x", "host/path", "h" * 254):
        yield put("bus.plc", "host", f'"{bad}"', code="CG-CFG-50")
    yield Broken(
        "two buses, one host", "[bus.radar]",
        '[bus.again]\nkind = "tcp"\nhost = "192.168.10.20"\n\n[bus.radar]', "CG-CFG-17", "[bus.again]",
    )  # fmt: skip
    yield put("bus.plc", "framing", '"stream"', code="CG-CFG-13", at='bus = "plc"', hint="tcp")


def _devices():
    yield put("device.feeder-2", "bus", '"rs458"', code="CG-CFG-10", hint="rs485")
    yield put("device.feeder-2", "bus", '"nowhere"', code="CG-CFG-10")
    yield put("device.feeder-2", "bus", '""', code="CG-CFG-10")
    for bad, near in (
        ("eastron-sdm121", "eastron-sdm120"), ("sdm120", ""), ("../../etc/passwd", ""), ("", ""),
        ("Eastron-SDM120", "eastron-sdm120"), ("eastron_sdm120", "eastron-sdm120"),
    ):  # fmt: skip
        yield put("device.feeder-2", "profile", f'"{bad}"', code="CG-CFG-11", hint=near)
    for bad in ("0", "248", "-1", "1000"):
        yield put("device.feeder-2", "unit", bad, code="CG-CFG-41")
    yield put("device.chiller", "unit", "256", code="CG-CFG-41")
    yield put("device.feeder-2", "unit", "1", code="CG-CFG-16", at='unit = 1\nevery = "2s"\nserial')
    yield put("device.chiller", "bus", '"pm-head"', code="CG-CFG-15", at='bus = "pm-head"\nprofile = "plantower')
    yield put("device.chiller", "bus", '"radar"', code="CG-CFG-54", at='bus = "radar"\nprofile = "wavetronix')
    yield put(
        "device.air-north", "bus", '"plc"', code="CG-CFG-13", at='bus = "plc"\nprofile = "plantower', hint="stream"
    )
    yield put("device.chiller", "every", '"2h"', code="CG-CFG-52")
    yield put("device.air-north", "every", '"1s"', code="CG-CFG-38")
    yield put("device.air-north", "unit", "3", code="CG-CFG-38")
    yield put("device.chiller", "lanes", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    yield put("device.chiller", "channels", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    yield put("device.radar", "channels", '{ 1 = { en = "a" } }', code="CG-CFG-37")
    for bad in ("0", "01", "a", "100", "-1"):
        yield Broken(f"lane {bad}", '1 = { en = "inbound"', f'{bad} = {{ en = "inbound"', "CG-CFG-41")
    yield Broken("generated id declared", "[device.feeder-2]", "[device.radar-lane1]", "CG-CFG-43")
    yield Broken("generated id declared 2", "[device.chiller]", "[device.radar-lane2]", "CG-CFG-43")
    yield Broken(
        "generated id too long", "[device.radar.lanes]", f"[device.{'r' * 30}]\nbus = \"radar\"\n"
        f'profile = "wavetronix-ss125"\nunit = 9\n\n[device.{"r" * 30}.lanes]', "CG-CFG-07", '1 = { en = "inbound"',
    )  # fmt: skip
    yield put("device.chiller", "personal", "true", code="CG-CFG-40")
    yield put("device.chiller", "name", '{ english = "x" }', code="CG-CFG-48")
    yield put("device.chiller", "name", '{ EN = "x" }', code="CG-CFG-48", hint="en")
    yield put("device.chiller", "name", '{ en = "" }', code="CG-CFG-49")
    yield put("device.chiller", "name", '{ en = "a\\nb" }', code="CG-CFG-49")
    yield put("device.chiller", "name", f'{{ th = "{"ก" * 201}" }}', code="CG-CFG-49")


def _site():
    for bad, near in (
        ("khonkaen", "khon-kaen"),
        ("chon-buri", "chonburi"),
        ("nakorn-sri-thammarat", "nakhon-si-thammarat"),
        ("atlantis", ""),
    ):
        yield put("gateway", "city", f'"{bad}"', code="CG-CFG-26", hint=near)
    for bad in ("Asia/Bangkog", "Bangkok", "../etc", "", "/etc/localtime"):
        yield put(
            "gateway", "timezone", f'"{bad}"', code="CG-CFG-27", hint="Asia/Bangkok" if bad == "Asia/Bangkog" else ""
        )
    for bad in ('"state"', '"../x"', '"/var/../etc"', '""'):
        yield put("gateway", "state_dir", bad, code="CG-CFG-47")
    yield put(
        "gateway",
        "location",
        "{ latitude = 102.8236, longitude = 16.4322 }",
        code="CG-CFG-28",
        hint="latitude = 16.4322",
    )
    yield put("gateway", "location", "{ latitude = 91.0, longitude = 200.0 }", code="CG-CFG-28")
    yield put("gateway", "location", "{ latitude = nan, longitude = 102.0 }", code="CG-CFG-28")
    yield put("gateway", "location", "{ latitude = inf, longitude = 102.0 }", code="CG-CFG-28")
    yield put("gateway", "location", "{ latitude = 48.1, longitude = 11.6 }", code="CG-CFG-29")
    yield put("gateway", "location", "{ latitude = 0, longitude = 0 }", code="CG-CFG-29")
    yield put("device.air-north", "location", "{ latitude = 1.0, longitude = 1.0 }", code="CG-CFG-29")
    yield put("windows", "lengths", '["1m", "1m"]', code="CG-CFG-46")
    yield Broken("schema 2", "schema = 1", "schema = 2", "CG-CFG-04")
    yield Broken("schema text", "schema = 1", 'schema = "1"', "CG-CFG-04")


def _sinks():
    for bad, near in (
        ("mqtt.example.go.th", "mqtt://mqtt.example.go.th"), ("http://mqtt:1883", "mqtt"), ("tcp://mqtt:1883", "mqtt://mqtt:1883"),
        ("mqtts://", ""),
        ("mqtts://:8883", ""), ("mqtts://h:99999", ""), ("mqtts://h:0", ""), ("mqtts://h/path", ""), ("", ""),
        ("mqtts://h h", ""), ("ssl://h:8883", "mqtts://h:8883"), ("wss://h/mqtt", ""), ("mqtts://[::1", ""),
    ):  # fmt: skip
        yield put("sink.city", "urls", f'["{bad}"]', code="CG-CFG-20", hint=near)
    for bad, near in (
        ("influx:8086", "http://influx:8086"),
        ("mqtt://h", ""),
        ("htps://h:1", "https://h:1"),
        ("file:///x", ""),
    ):
        yield put("sink.platform", "urls", f'["{bad}"]', code="CG-CFG-20", hint=near)
    yield put("sink.city", "urls", "[]", code="CG-CFG-05", at="[sink.city]")
    yield put("sink.city", "urls", '["mqtts://user:canary-secret@h:8883"]', code="CG-CFG-35")
    yield put("sink.platform", "urls", '["https://canary-secret@h"]', code="CG-CFG-35")
    yield put("sink.city", "urls", '["mqtt://mqtt.example.go.th"]', code="CG-CFG-39", hint="mqtts://mqtt.example.go.th")
    yield put("sink.archive", "kind", '"memory"', code="CG-CFG-25")
    for key, value in (
        ("bucket", '"b"'),
        ("path", '"/x"'),
        ("format", '"csv"'),
        ("api", '"v2"'),
        ("token_file", '"influx.token"'),
    ):
        yield put("sink.city", key, value, code="CG-CFG-21")
    for key, value in (
        ("topic", '"x"'),
        ("encoding", '"json"'),
        ("no_subscriber", '"hold"'),
        ("client_id", '"x"'),
        ("path", '"/x"'),
    ):
        yield put("sink.platform", key, value, code="CG-CFG-21")
    for key, value in (("urls", '["http://h"]'), ("username", '"u"'), ("bucket", '"b"')):
        yield put("sink.archive", key, value, code="CG-CFG-21")
    for key, near in (("password", "password_file"), ("token", "token_file"), ("url", "urls"), ("prefix", "topic")):
        header = "sink.platform" if key == "token" else "sink.city"
        yield put(header, key, '"canary-secret"', code="CG-CFG-01", hint=near)
    for key, near in (("baud", "line"), ("buad", "line"), ("parity", "line"), ("device", "port")):
        yield put("bus.rs485", key, "9600", code="CG-CFG-01", hint=near)
    for key, near in (("slave_id", "unit"), ("interval", "every"), ("model", "profile")):
        yield put("device.chiller", key, "1", code="CG-CFG-01", hint=near)
    yield put("sink.platform", "api", '"v1"', code="CG-CFG-05", at="[sink.platform]")
    yield put("sink.platform", "api", '"v3"', code="CG-CFG-05", at="[sink.platform]")
    for key, header in (("password_file", "sink.city"), ("token_file", "sink.platform"), ("ca_file", "sink.city")):
        yield put(header, key, '"absent"', code="CG-CFG-22")
        yield put(header, key, '"."', code="CG-CFG-22")
        yield put(header, key, '"empty"', code="CG-CFG-45")
        yield put(header, key, '""', code="CG-CFG-22")
    for name in ("open-to-group", "open-to-all"):
        yield put("sink.city", "password_file", f'"{name}"', code="CG-CFG-23")
        yield put("sink.platform", "token_file", f'"{name}"', code="CG-CFG-23")
    yield put("sink.city", "cert_file", '"ca.pem"', code="CG-CFG-56")
    yield put("sink.city", "key_file", '"mqtt.password"', code="CG-CFG-56")
    table = table_of("sink.city")
    yield Broken(
        "password without username", table, table.replace('username = "kkc-0412"\n', ""), "CG-CFG-56", "password_file"
    )
    yield put("sink.city", "streams", '["5s"]', code="CG-CFG-24")
    yield put("sink.city", "streams", '["1m", "1d"]', code="CG-CFG-24")
    yield put("sink.city", "streams", "[]", code="CG-CFG-59")
    yield put("sink.city", "devices", "[]", code="CG-CFG-59")
    yield put("sink.city", "devices", '["!feeder-2"]', code="CG-CFG-59")
    yield put("sink.city", "devices", '["*", "!feeder-3"]', code="CG-CFG-34", hint="!feeder-2")
    yield put("sink.city", "devices", '["radar-lane3"]', code="CG-CFG-34", hint="radar-lane")
    yield put("sink.city", "devices", '["x-*"]', code="CG-CFG-34")
    yield put("sink.city", "kinds", '["aire"]', code="CG-CFG-34", hint="air")
    yield put("sink.city", "points", '["pm25"]', code="CG-CFG-34", hint="pm2_5")
    for bad, near in (
        ("citygate/#", ""), ("citygate/+/x", ""), ("/citygate", ""), ("citygate/", ""), ("a//b", ""), ("$SYS/x", ""),
        ("citygate/{gatway}", "{gateway}"), ("citygate/{", ""), ("", ""), ("{device}/{gateway}", ""),
    ):  # fmt: skip
        yield put("sink.city", "topic", f'"{bad}"', code="CG-CFG-36", hint=near)
    yield put("sink.city", "topic", '"citygate/all"', code="CG-CFG-61")
    yield put("sink.city", "client_id", '""', code="CG-CFG-60")
    yield put("sink.city", "client_id", '"a b"', code="CG-CFG-60")
    table = table_of("sink.platform")
    yield Broken("raw_every without raw", table, table.replace('"raw", ', ""), "CG-CFG-58", "raw_every")
    yield Broken(
        "two file sinks, one path", "[sink.archive]",
        '[sink.other]\nkind = "file"\npath = "/var/lib/citygate/archive.jsonl"\n\n[sink.archive]', "CG-CFG-42",
        'path = "/var/lib/citygate/archive.jsonl"\nformat',
    )  # fmt: skip
    yield put("clock", "trust", '"http"', code="CG-CFG-66")


ROWS = [row for rows in (_wires, _devices, _site, _sinks) for row in rows()]
