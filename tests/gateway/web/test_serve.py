"""The process: where it may listen, how fast it ends, that it comes back, what its machine faces say."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from live_desk import LivePage, ScriptedDaemon, aqi, device, rfc
from parts import poll

from gateway.web.serve import PEER_MAX, Listen, secret_of


def started(*options):
    command = [sys.executable, "-m", "gateway", "--json", "live", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("address", ["0.0.0.0:18080", "192.0.2.1:18080", "[::]:18080"])
def test_beyond_loopback_it_does_not_start_without_tls_and_credentials(tmp_path, address):
    done = started("--bind", address)
    assert done.returncode == 78
    fault = json.loads(done.stdout)["fault"]
    assert fault["code"] == "CG-WEB-01"
    assert "--certificate" in fault["seen"]
    assert "--password-file" in fault["seen"]


def test_half_of_it_is_not_enough(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hall:correct horse battery")
    secret.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        secret_of(secret)
    secret.chmod(0o600)
    digest = secret_of(secret)
    assert Listen("0.0.0.0", secret=digest).faults() == ["TLS (--certificate and --key)"]
    assert Listen("0.0.0.0", certificate=secret, key=secret).faults() == ["credentials (--password-file)"]
    assert Listen("0.0.0.0", certificate=secret, key=secret, secret=digest).faults() == []
    secret.write_text("hall:short")
    with pytest.raises(ValueError, match="12 characters"):
        secret_of(secret)


@pytest.mark.parametrize("bind", ["8080", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:0"])
def test_bad_addresses(bind):
    assert started("--bind", bind).returncode == 78


def test_a_taken_port_is_told(tmp_path):
    with LivePage(tmp_path) as live:
        done = started("--bind", f"127.0.0.1:{live.port}")
    assert done.returncode == 69
    assert json.loads(done.stdout.splitlines()[-1])["fault"]["code"] == "CG-WEB-03"


def test_credentials_over_tls(tmp_path):
    """With both, a page of 127.0.0.1 asks for them too."""
    import base64
    import ssl

    from parts import Certificates

    made = Certificates(tmp_path / "tls")
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("hall:correct horse battery")
    options = ("--certificate", str(made.server), "--key", str(made.server_key), "--password-file", str(secret))
    page = LivePage(tmp_path, *options)
    context = ssl.create_default_context(cafile=str(made.ca))

    def get(headers):
        connection = http.client.HTTPSConnection("localhost", page.port, context=context, timeout=5)
        try:
            connection.request("GET", "/healthz", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def alive():
        try:
            return get({}) == 401
        except OSError:
            return False

    page._answers = alive
    with page:
        basic = base64.b64encode(b"hall:correct horse battery").decode()
        assert get({"Authorization": f"Basic {basic}"}) == 200
        for wrong in (basic[:-4], "", "x" * 5000, base64.b64encode(b"hall:wrong").decode()):
            assert get({"Authorization": f"Basic {wrong}"}) == 401
        assert get({"Authorization": f"Bearer {basic}"}) == 401


def stream(live):
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=15)
    connection.request("GET", "/events")
    return connection, connection.getresponse()


def test_sigterm_with_20_open_pages_ends_within_2_s(tmp_path):
    (tmp_path / "state").mkdir()
    with ScriptedDaemon(tmp_path / "state", {"a": device()}), LivePage(tmp_path) as live:
        live.ready()
        pages = [stream(live) for _ in range(20)]
        for _, answer in pages:
            assert answer.readline().startswith(b"retry")
        idle = [socket.create_connection(("127.0.0.1", live.port), timeout=5) for _ in range(PEER_MAX)]
        began = time.monotonic()
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(10) == 0
        took_s = time.monotonic() - began
        for connection, answer in pages:
            answer.close()
            connection.close()
        for one in idle:
            one.close()
    print(f"\nSIGTERM with 20 open pages: ended after {took_s:.2f} s")
    assert took_s < 2.0
    assert "Traceback" not in live.text()


def test_20_browsers_that_open_the_page_at_once_are_all_served(tmp_path):
    """Six connections each, as browsers do; the door's burst is for them."""
    with LivePage(tmp_path) as live, ThreadPoolExecutor(120) as browsers:
        answers = list(browsers.map(lambda _: live.get("/static/app.css")[0], range(120)))
    assert answers == [200] * 120


def test_the_daemon_dies_and_comes_back(tmp_path):
    (tmp_path / "state").mkdir()
    with LivePage(tmp_path) as live:
        assert live.get("/readyz")[0] == 503
        with ScriptedDaemon(tmp_path / "state", {"a": device()}):
            live.ready()
            assert json.loads(live.get("/api/snapshot")[2])["devices"]["gw-1/a"]["v"]["pm2_5"] == 12.0
        poll(lambda: live.get("/readyz")[0] == 503, what="the page to notice")
        told = json.loads(live.get("/api/snapshot")[2])["source"]
        assert told["up"] is False
        assert told["since"]
        with ScriptedDaemon(tmp_path / "state", {"b": device("water")}):
            live.ready()
            assert set(json.loads(live.get("/api/snapshot")[2])["devices"]) == {"gw-1/b"}


def test_the_machine_faces(tmp_path):
    (tmp_path / "state").mkdir()
    devices = {
        "a": device(windows=[aqi(144, 4)]),
        "m": device("energy", v={}, q={"*": "b:timeout"}),
        "w": device("water", v={"level": 1.25}, q={"level": "u:stuck"}),
    }
    quarter = {"device": "w", "stream": "15m", "t": rfc(1800), "end": rfc(900), "v": {"level": {"mean": 1.5}}}
    with ScriptedDaemon(tmp_path / "state", devices, history=[quarter]) as daemon, LivePage(tmp_path) as live:
        live.ready()
        metrics = live.get("/metrics")[2].decode()
        labels = 'gateway="gw-1",device="{}",kind="{}"'
        assert f"citygate_device_up{{{labels.format('m', 'energy')}}} 0" in metrics
        assert f'citygate_value{{{labels.format("w", "water")},point="level"}} 1.25' in metrics
        assert "citygate_value{" + labels.format("m", "energy") not in metrics
        rows = json.loads(live.get("/export/latest.json")[2])["rows"]
        by = {(row["device"], row["point"]): row for row in rows}
        assert by["m", "power_active"]["value"] is None
        assert by["m", "power_active"]["quality"] == "b:timeout"
        assert by["w", "level"] == by["w", "level"] | {"value": 1.25, "unit": "m", "quality": "u:stuck"}
        dictionary = json.loads(live.get("/export/dictionary.json")[2])
        assert dictionary["points"]["level"]["th"]
        assert (
            live.get("/export/latest.csv")[2].decode().startswith("gateway,device,kind,t,point,value,unit,quality\r\n")
        )
        found = json.loads(live.get("/api/history?key=gw-1/w&stream=15m&point=level")[2])
        assert [line["v"] for line in found["records"]] == [{"level": {"mean": 1.5}}]
        assert daemon.asked[-1]["points"] == ["level"]
        csv = live.get("/api/history?key=gw-1/w&stream=15m&format=csv")[2].decode()
        assert csv.splitlines()[0] == "t,end,device,estimated,level__mean"
        assert live.get("/api/history?key=gw-1/none")[0] == 404


def cut_at(most):
    """Answers as the daemon does: at most so many records, the oldest, and says that it was cut."""

    class Cut(ScriptedDaemon):
        async def answer(self, request):
            found = await super().answer(request)
            if request["ask"] != "history":
                return found
            return {"records": found["records"][:most], "truncated": len(found["records"]) >= most}

    return Cut


LEVEL = {"level": {"mean": 1.5}}


def quarters(idents, count):
    return [
        {"device": ident, "stream": "15m", "t": rfc(900 * back), "end": rfc(900 * back - 900), "v": LEVEL}
        for back in range(count, 0, -1)
        for ident in idents
    ]


def test_an_answer_that_was_cut_is_refused_with_the_longest_time_that_fits(tmp_path):
    (tmp_path / "state").mkdir()
    lines = quarters(["w"], 90)
    with cut_at(50)(tmp_path / "state", {"w": device("water")}, history=lines), LivePage(tmp_path) as live:
        live.ready()
        asked = "/api/history?key=gw-1/w&stream=15m"
        for form in ("", "&format=csv"):
            status, _, body = live.get(asked + form)
            assert status == 413
            told = body.decode()
            assert told.startswith("more than 50 records; from=")
            assert told.endswith(f"&to={lines[49]['t']} fits\n")
        begin, end = re.search("from=(.*)&to=(.*) fits", told).groups()
        status, _, body = live.get(f"{asked}&from={begin}&to={end}")
        assert (status, len(json.loads(body)["records"])) == (200, 49)


def test_the_look_back_goes_on_where_an_answer_was_cut(tmp_path):
    """More devices than one answer holds quarters of: every sparkline is whole."""
    (tmp_path / "state").mkdir()
    idents = [f"w{n}" for n in range(7)]
    daemon = cut_at(100)(tmp_path / "state", {i: device("water") for i in idents}, history=quarters(idents, 90))
    with daemon, LivePage(tmp_path) as live:
        live.ready()

        def filled():
            shown = json.loads(live.get("/api/snapshot")[2])["devices"].values()
            return all(one["spark"] and sum(y is not None for y in one["spark"]["y"]) >= 90 for one in shown)

        poll(filled, what="90 quarters of each device", deadline_s=10)


def test_an_answer_too_long_for_a_line_does_not_end_the_page(tmp_path):
    (tmp_path / "state").mkdir()

    class Long(ScriptedDaemon):
        async def answer(self, request):
            found = await super().answer(request)
            return found | {"x": "y" * (17 << 20)} if request["ask"] == "history" else found

    with Long(tmp_path / "state", {"w": device("water")}) as daemon, LivePage(tmp_path) as live:
        live.ready()
        poll(lambda: len(daemon.asked) > 1, what="the look back")
        status, _, body = live.get("/api/history?key=gw-1/w")
        assert (status, b"too long" in body) == (503, True)
        since = json.loads(live.get("/api/snapshot")[2])["source"]["since"]
        poll(lambda: b'what="answers"' in live.get("/metrics")[2], what="the page to count it")
        told = json.loads(live.get("/api/snapshot")[2])["source"]
        assert (told["up"], told["since"]) == (True, since)  # the live side went on
