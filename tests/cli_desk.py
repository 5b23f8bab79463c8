"""Calls the command line in this process, and serves a daemon's local socket for its verbs."""

import asyncio
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import gateway.cli
from gateway.local import LocalSocket

SITE = """schema = 1

[gateway]
id = "kkc-0412"
city = "khon-kaen"
state_dir = "{state}"

[clock]
trust = "system"

[bus.plc]
kind = "tcp"
host = "127.0.0.1"
port = {port}

[device.main-meter]
bus = "plc"
profile = "eastron-sdm120"
unit = 1
every = "1s"

[sink.archive]
kind = "file"
path = "{state}/archive.jsonl"
"""


@dataclass
class Said:
    code: int
    out: str
    err: str


def said(capsys, *argv):
    """The exit code, stdout and stderr of one call."""
    capsys.readouterr()
    code = gateway.cli.call([str(word) for word in argv])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err, "no escape byte where no terminal is"
    if "--json" in argv:
        in_form(captured.out, [str(word) for word in argv])
    return Said(code, captured.out, captured.err)


def in_form(out, words):
    """Every line (or the one object) that a verb printed holds to the schema that is shipped for it."""
    from jsonschema import Draft202012Validator

    from gateway.cli.forms import form
    from gateway.cli.verbs import VERBS

    at = next((n for n, word in enumerate(words) if word in VERBS), None)
    verb = "status" if at is None else " ".join(word for word in words[at : at + 2] if not word.startswith("-"))
    validator = Draft202012Validator(form(verb))
    lines = [out] if out.startswith("{\n") else out.splitlines()
    for line in lines:
        faults = [f"{fault.json_path}: {fault.message}"[:300] for fault in validator.iter_errors(_parsed(line))]
        assert faults == [], f"citygate {verb} --json: {line[:400]}"


def _parsed(line):
    """Strict JSON: Python's own reader takes NaN and Infinity, others do not."""

    def no(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=no)


def site(folder, *, port=502, more=""):
    """A small config in `folder`; its path."""
    (folder / "state").mkdir(exist_ok=True)
    path = folder / "gateway.toml"
    path.write_text(SITE.format(state=folder / "state", port=port) + more, encoding="utf-8")
    return path


SNAPSHOT = {
    "schema": 1,
    "t": "2026-11-21T02:13:05.000Z",
    "gateway": {
        "id": "kkc-0412", "city": "khon-kaen", "name": {"en": "Cabinet", "th": "ตู้"}, "version": "0.1.0",
        "epoch": "00000001-abcd", "uptime_s": 7300,
    },
    "clock": {"trusted": True},
    "devices": {
        "main-meter": {
            "kind": "energy", "device": "main-meter", "name": {}, "state": "ok", "every_s": 1.0,
            "points": {
                "voltage": {"unit": "V", "digits": 1}, "current": {"unit": "A", "digits": 2},
                "power_factor": {"unit": "1", "digits": 2}, "energy_import": {"unit": "kWh", "digits": 1},
            },
            "last": {
                "device": "main-meter", "stream": "raw", "t": "2026-11-21T02:13:04.000Z",
                "v": {"voltage": 229.8, "current": 4.21, "power_factor": 0.98}, "q": {"energy_import": "b:timeout"},
            },
        },
    },
    "buses": {"plc": {"state": "up", "load": 0.034}},
    "sinks": {"archive": {"state": "up", "waiting": 0, "confirmed": 12}},
    "journal": {"first": 0, "next": 40, "committed": 40},
}  # fmt: skip


@contextmanager
def daemon(path, *, snapshot=None, answer=None, records=()):
    """A local socket as the daemon serves it, in a thread; `records` go to every subscriber, again and again."""
    started, stop = threading.Event(), threading.Event()

    async def answered(request):
        return answer(request) if answer else {"error": {"code": "CG-SYS-04", "fact": "no"}}

    async def serve():
        local = LocalSocket(path, snapshot=lambda: snapshot or SNAPSHOT, answer=answered)
        await local.open()
        started.set()
        while not stop.is_set():
            for record in records if local.watched else ():
                local.publish({"record": record})
            await asyncio.sleep(0.02)
        await local.close()
        await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        stop.set()
        thread.join(10)
