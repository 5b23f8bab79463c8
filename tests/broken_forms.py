"""Broken configs, of the form: misspelled and missing keys, wrong types, choices and ids, amounts, syntax."""

from good_config import TABLES, Broken, put, table_of

_REQUIRED = {
    ("gateway", "id"), ("gateway", "city"), ("bus.rs485", "kind"), ("bus.rs485", "port"), ("bus.plc", "host"),
    ("device.feeder-2", "bus"), ("device.feeder-2", "profile"), ("device.feeder-2", "unit"), ("sink.city", "kind"),
    ("sink.city", "urls"), ("sink.platform", "org"), ("sink.platform", "bucket"), ("sink.platform", "token_file"),
    ("sink.archive", "path"),
}  # fmt: skip


def _misspelled(key: str) -> str:
    at = 2 if len(key) > 4 else 1
    wrong = key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :] if len(key) > 3 else key
    return wrong if wrong != key else key + key[-1]


def _typos():
    for header, keys in TABLES.items():
        for key in keys:
            wrong = _misspelled(key)
            table = table_of(header)
            new = table.replace(f"\n{key} =", f"\n{wrong} =", 1)
            yield Broken(f"typo {header}.{wrong}", table, new, "CG-CFG-01", f"{wrong} =", key)


def _types():
    for header, keys in TABLES.items():
        for key in keys:
            bad = '"7"' if key == "unit" else "[1]" if key in {"port", "name", "location"} else "7.5"
            code = "CG-CFG-04" if key in _CHOICES.get(header, ()) else "CG-CFG-03"
            yield put(header, key, bad, code=code)
    yield put("clock", "trust", "true", code="CG-CFG-04")
    yield put("sink.platform", "rev_tag", '"yes"', code="CG-CFG-03")
    yield put("bus.rs485", "echo", "1", code="CG-CFG-03")
    yield put("device.chiller", "every", "07:32:00", code="CG-CFG-03")
    yield put("device.chiller", "personal", "1979-05-27", code="CG-CFG-03")
    yield put("sink.city", "streams", '["1m", 5]', code="CG-CFG-03")
    yield put("sink.city", "urls", '"mqtts://a:1"', code="CG-CFG-03")
    yield put("gateway", "location", '{ latitude = "16", longitude = 102.0 }', code="CG-CFG-03")
    yield put("gateway", "location", "{ latitude = 16.0 }", code="CG-CFG-05")
    yield put("gateway", "location", "{ lat = 16.0, lon = 102.0 }", code="CG-CFG-01")


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
        yield put(header, key, f'"{bad}"', code="CG-CFG-04", hint=near)
    yield put("windows", "lengths", '["1m", "2m"]', code="CG-CFG-04")
    yield put("windows", "lengths", '["60s"]', code="CG-CFG-04")
    yield put("sink.city", "streams", '["1m", "evnt"]', code="CG-CFG-04", hint="event")
    yield put("sink.city", "streams", '["live"]', code="CG-CFG-04")


def _missing():
    for header, key in sorted(_REQUIRED):
        table = table_of(header)
        rows = [row for row in table.split("\n") if not row.startswith(f"{key} =")]
        code = "CG-CFG-14" if key == "unit" else "CG-CFG-05"
        yield Broken(f"missing {header}.{key}", table, "\n".join(rows), code, f"[{header}]")
    yield Broken("missing schema", "schema = 1\n\n[gateway]", "[gateway]", "CG-CFG-05", "[gateway]")


_BAD_IDS = ("Meter", "meter_1", "-meter", "meter-", "a b", "ม", "x" * 33, "", "m.1", "a/b", "a+", "#")
_RESERVED = ("status", "health", "meta", "event", "raw", "cmd")


def _ids():
    for bad in _BAD_IDS:
        yield put("gateway", "id", f'"{bad}"', code="CG-CFG-07")
        yield Broken(f"device {bad!r}", "[device.feeder-2]", f'[device."{bad}"]', "CG-CFG-07")
        yield Broken(
            f"bus {bad!r}", "[sink.city]", f'[bus."{bad}"]\nkind = "tcp"\nhost = "h"\n\n[sink.city]', "CG-CFG-07"
        )
        yield Broken(f"sink {bad!r}", "[sink.archive]", f'[sink."{bad}"]', "CG-CFG-07")
    for bad in _RESERVED:
        yield put("gateway", "id", f'"{bad}"', code="CG-CFG-08")
        yield Broken(f"device {bad}", "[device.feeder-2]", f"[device.{bad}]", "CG-CFG-08")
        yield Broken(f"sink {bad}", "[sink.archive]", f"[sink.{bad}]", "CG-CFG-08")


_BAD_DURATIONS = ("1", "1 second", "s", "-1s", "0s", "1e3s", "1,5s", "1s ", "", "PT1S", "1 S")


def _amounts():
    for bad in _BAD_DURATIONS:
        for header, key in (
            ("device.chiller", "every"), ("clock", "max_wait"), ("journal", "keep"), ("journal", "cap"),
            ("sink.city", "keepalive"), ("sink.platform", "raw_every"),
        ):  # fmt: skip
            yield put(header, key, f'"{bad}"', code="CG-CFG-18")
    for bad in ("64", "64 kB", "64 kb/s", "-1 kB/s", "0 B/s", "64 kB/min", "fast"):
        yield put("sink.city", "backfill_rate", f'"{bad}"', code="CG-CFG-18")
    for bad in ("3 GB", "3/month", "3 GB/year", "0 GB/month", "3 GiB/month", "-3 GB/month", "3GB per month"):
        yield put("sink.city", "budget", f'"{bad}"', code="CG-CFG-18")
    for header, key, bad in (
        ("device.chiller", "every", "10ms"), ("device.chiller", "every", "2d"), ("sink.city", "keepalive", "1s"),
        ("sink.city", "keepalive", "19h"), ("clock", "max_wait", "31d"), ("clock", "max_wait", "100ms"),
        ("journal", "commit", "6s"), ("journal", "cap", "15 MB"),
    ):  # fmt: skip
        yield put(header, key, f'"{bad}"', code="CG-CFG-41")


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


ROWS = [row for rows in (_typos, _types, _choices, _missing, _ids, _amounts, _syntax) for row in rows()]
