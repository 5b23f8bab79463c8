"""The typed, frozen config tree, as written in TOML (contracts.md, "Config"). Unknown keys are errors."""

from __future__ import annotations

from typing import Literal

import msgspec


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """WGS 84, degrees; height in m above ground where a sensor's height matters."""

    latitude: float
    longitude: float
    height: float | None = None


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[gateway]`: who we are. `timezone` is an IANA name; without it the city gives it."""

    id: str
    city: str
    name: dict[str, str] = {}
    location: Location | None = None
    timezone: str | None = None
    state_dir: str = "/var/lib/citygate"


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[clock]`: whom to believe about the time, and how long records wait for it."""

    trust: Literal["kernel", "system", "rtc", "http"] = "kernel"
    max_wait: str = "24h"


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[journal]`: how much of the disk it may take, how long confirmed records stay, and how often it is synced."""

    cap: str = "1 GB"
    keep: str = "72h"
    commit: str = "1s"


class Bus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[bus.ID]`: one wire, one owner. `port` and `line` for serial; `host`, `port` and `framing` for TCP.

    `echo`: the adapter repeats what is sent. `rs485`: the kernel's driver switches the transceiver by RTS, as boards
    with a bare transceiver on a UART need it.
    """

    kind: Literal["serial", "tcp"]
    port: str | int | None = None
    line: str | None = None
    host: str | None = None
    framing: Literal["tcp", "rtu", "stream"] = "tcp"
    echo: bool = False
    rs485: bool = False


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[device.ID.calibration.POINT]`: true value = gain x raw + offset, or by a table of [raw, true] pairs.

    `date` and `expires` are days, "2026-05-01"; `by` names who did it, or the certificate.
    """

    date: str
    expires: str | None = None
    gain: float = 1.0
    offset: float = 0.0
    table: tuple[tuple[float, ...], ...] = ()
    by: str = ""


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[device.ID]`: one device on a bus."""

    bus: str
    profile: str
    unit: int | None = None
    every: str | None = None
    name: dict[str, str] = {}
    location: Location | None = None
    serial: str = ""
    kind: Literal["air", "traffic", "energy", "water", "weather", "noise"] | None = None
    lanes: dict[str, dict[str, str]] = {}
    channels: dict[str, dict[str, str]] = {}
    personal: bool = False
    options: dict[str, float] = {}
    calibration: dict[str, Calibration] = {}


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[alarm.ID]`: one rule over some devices: a limit, a rate, a demand, or an absence.

    Limits stand for levels 1, 2, 3 where there are several, else for `level`. `rise` and `fall` are the change within
    `within`; `demand` is the 15-minute demand in kW. `margin` is how far inside the limit a value must come back.
    """

    devices: tuple[str, ...] = ("*",)
    point: str | None = None
    figure: str | None = None
    stream: str | None = None
    above: tuple[float, ...] = ()
    below: tuple[float, ...] = ()
    rise: tuple[float, ...] = ()
    fall: tuple[float, ...] = ()
    within: str = "1h"
    demand: tuple[float, ...] = ()
    absent: str | None = None
    margin: float = 0.0
    delay_on: str | None = None
    delay_off: str | None = None
    level: Literal[1, 2, 3] = 2
    name: dict[str, str] = {}


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[windows]`: lengths of 5s 10s 1m 5m 10m 15m 30m 1h 1d; 1d is the local day."""

    lengths: tuple[str, ...] = ("1m", "15m", "1h")


class Sink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sink.ID]`: one destination."""

    kind: Literal["mqtt", "influxdb", "ngsi-ld", "sparkplug", "file", "memory"]
    urls: tuple[str, ...] = ()
    streams: tuple[str, ...] = ("1m", "15m", "1h", "event")
    devices: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = ("*",)
    points: tuple[str, ...] = ("*",)
    start: Literal["now", "oldest"] = "now"
    raw_every: str | None = None
    budget: str | None = None
    backfill_rate: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    # mqtt
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: str | None = None
    topic: str = "citygate/{city}/{gateway}"
    encoding: Literal["json", "json+deflate", "senml"] = "json"
    no_subscriber: Literal["pass", "hold"] = "pass"
    keepalive: str = "30s"
    # influxdb
    api: Literal["v1", "v2", "v3"] = "v2"
    org: str | None = None
    bucket: str | None = None
    database: str | None = None
    token_file: str | None = None
    rev_tag: bool = False
    # file
    path: str | None = None
    format: Literal["jsonl", "csv", "lp", "prometheus"] = "jsonl"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole config, all files merged. `profiles_dir` may hold a site's own profiles."""

    schema: Literal[1]
    gateway: Gateway
    clock: Clock = Clock()
    journal: Journal = Journal()
    windows: Windows = Windows()
    bus: dict[str, Bus] = {}
    device: dict[str, Device] = {}
    sink: dict[str, Sink] = {}
    alarm: dict[str, Alarm] = {}
