"""The page's history from a database: a real InfluxDB 1.x, and scripted answers of a v2 server to the real client."""

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from live_desk import LivePage, ScriptedDaemon, device, rfc
from parts import Certificates, Influx1

from gateway.web.database import Asked, Database, fields, record, rows_v1, rows_v2
from gateway.web.source import NoHistory

ASKED = Asked(
    "khon-kaen", "gw-1", "a", "air_window", "15m", "2026-11-21T00:00:00.000Z", "2026-11-21T02:00:00.000Z", ("pm2_5",)
)
TAGS = "city=khon-kaen,gateway=gw-1,device=a"
CSV = """#datatype,string,long,dateTime:RFC3339,double,double,double,double
#group,false,false,false,false,false,false,false
#default,_result,,,,,,
,result,table,_time,pm2_5__mean,pm2_5__max,quality_pm2_5,end_ms
,,0,2026-11-21T00:00:00Z,12.5,14,101,1795220100000
,,0,2026-11-21T00:30:00Z,13.5,15,,1795221900000

"""


def line(measurement, fields_, t_ms, *, stream="15m"):
    tags = f"{measurement},{TAGS}" + (f",stream={stream}" if stream else "")
    return f"{tags} {fields_} {t_ms}"


@pytest.mark.parts
def test_a_real_influxdb_gives_the_records_back(tmp_path):
    """Through the whole page: the window of the stream, the device and the time asked for, and nothing else."""
    (tmp_path / "state").mkdir()
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("live:a password")
    now_ms = 1_795_219_200_000  # 2026-11-21T00:00Z
    window = "pm2_5__mean=12.5,pm2_5__max=14.0,quality_pm2_5=101.0,n=900.0,coverage=1.0,seq=5i,i__aqi_th=21.0"
    rows = [
        line("air_window", f"{window},i__aqi_th__level=1.0,end_ms={now_ms + 900_000}.0,quality=101.0", now_ms),
        line("air_window", "pm2_5__mean=99.0", now_ms - 86_400_000),
        line("air_window", "pm2_5__mean=99.0", now_ms, stream="1h"),
        line("air", 'pm2_5=12.0,pm10=18.0,bad_pm10=7.0,quality=0.0,epoch="0000002a-9f3c"', now_ms, stream=""),
        line("air_window", "pm2_5__mean=99.0", now_ms).replace("device=a", "device=b"),
    ]
    with Influx1(users={"live": "a password"}) as part:
        body = "\n".join(rows).encode()
        part.post("/write", body, db=part.database, precision="ms", u="live", p="a password")
        url = f"http://127.0.0.1:{part.port}"
        options = ("--history", url, "--history-name", part.database, "--history-secret-file", str(tmp_path / "secret"))
        with ScriptedDaemon(tmp_path / "state", {"a": device()}), LivePage(tmp_path, *options) as live:
            live.ready()
            asked = "/api/history?key=gw-1/a&from=2026-11-21T00:00:00Z&to=2026-11-21T02:00:00Z"
            found = json.loads(live.get(asked)[2])["records"]
            assert found == [
                {
                    "device": "a", "stream": "15m", "t": "2026-11-21T00:00:00.000Z", "end": "2026-11-21T00:15:00.000Z",
                    "v": {"pm2_5": {"mean": 12.5, "max": 14.0}}, "q": {"pm2_5": "u:stuck"}, "n": 900.0, "coverage": 1.0,
                    "i": {"aqi_th": {"value": 21.0, "level": 1.0}},
                }
            ]  # fmt: skip
            raw = json.loads(live.get(f"{asked}&stream=raw&point=pm10")[2])["records"]
            assert [one["v"] for one in raw] == [{"pm10": 18.0}]
            part.stop()
            status, _, text = live.get(asked)
            assert (status, text.startswith(b"the database: ")) == (503, True)


class Asking(BaseHTTPRequestHandler):
    """Notes who asks, and with which credentials; `answer` is what it says."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        if length := int(self.headers.get("content-length") or 0):
            self.rfile.read(length)
        status, location = self.server.answer
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("content-length", "14")
        self.end_headers()
        self.wfile.write(b'{"results":[]}')

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def asking(status=200, location="", *, tls=None):
    server = HTTPServer(("127.0.0.1", 0), Asking)
    server.seen, server.answer = [], (status, location)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.server, tls.server_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FETCH = {"v1": rows_v1, "v2": rows_v2}


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_credentials_go_to_no_other_host(api, status):
    with asking() as thief, asking(status, f"http://localhost:{thief.server_port}/stolen") as honest:
        database = Database(f"http://127.0.0.1:{honest.server_port}", api, "sensors", "khon-kaen", "user:password")
        with pytest.raises(NoHistory):
            FETCH[api](database, ASKED)
        assert [one[2] is not None for one in honest.seen] == [True]
        assert thief.seen == []


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_no_proxy_of_the_environment_gets_the_credentials(api, monkeypatch):
    with asking() as proxy, asking(404) as honest:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        database = Database(f"http://127.0.0.1:{honest.server_port}", api, "sensors", "khon-kaen", "user:password")
        with pytest.raises(NoHistory):
            FETCH[api](database, ASKED)
        assert (len(honest.seen), proxy.seen) == (1, [])


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_the_ca_of_the_database(api, tmp_path):
    made = Certificates(tmp_path)
    with asking(404, tls=made) as server:
        url = f"https://localhost:{server.server_port}"
        with pytest.raises(NoHistory):
            FETCH[api](Database(url, api, "sensors", "khon-kaen", "user:password"), ASKED)
        assert server.seen == []  # it is not who it says: nothing was asked
        with pytest.raises(NoHistory):
            FETCH[api](Database.of(url, api=api, name="sensors", org="khon-kaen", ca_file=made.ca), ASKED)
        assert len(server.seen) == 1
    with pytest.raises(OSError):
        Database.of(url, api=api, name="sensors", ca_file=made.server_key)


def test_a_secret_that_others_can_read_is_not_taken(tmp_path):
    path = tmp_path / "secret"
    path.write_text("user:password")
    path.chmod(0o604)
    with pytest.raises(ValueError, match="chmod 600"):
        Database.of("http://host", api="v1", name="x", secret_file=path)


class Scripted(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.asked.append(self.rfile.read(int(self.headers["content-length"])).decode())
        status, kind, body = self.server.answer
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def flux():
    server = HTTPServer(("127.0.0.1", 0), Scripted)
    server.asked, server.answer = [], (200, "text/csv; charset=utf-8", CSV)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_v2_by_the_real_client(flux):
    database = Database(f"http://127.0.0.1:{flux.server_port}", "v2", "sensors", "khon-kaen", "token")
    rows = rows_v2(database, ASKED)
    assert [record(row, ASKED) for row in rows] == [
        {
            "device": "a", "stream": "15m", "t": "2026-11-21T00:00:00.000Z", "end": "2026-11-21T00:15:00.000Z",
            "v": {"pm2_5": {"mean": 12.5, "max": 14.0}}, "q": {"pm2_5": "u:stuck"},
        },
        {
            "device": "a", "stream": "15m", "t": "2026-11-21T00:30:00.000Z", "end": "2026-11-21T00:45:00.000Z",
            "v": {"pm2_5": {"mean": 13.5, "max": 15.0}}, "q": {},
        },
    ]  # fmt: skip
    query = json.loads(flux.asked[0])["query"]
    assert 'r.gateway == "gw-1"' in query
    assert 'r.stream == "15m"' in query


@pytest.mark.parametrize(
    "answer",
    [
        (401, "application/json", '{"code":"unauthorized","message":"no"}'),
        (500, "application/json", "{}"),
        (200, "text/html", "<html>log in</html>"),
        (200, "text/csv", "error,reference\nfailed,897\n"),
    ],
)
def test_v2_trouble_is_told(flux, answer):
    flux.answer = answer
    database = Database(f"http://127.0.0.1:{flux.server_port}", "v2", "sensors", "khon-kaen", "token")
    told = ""
    try:
        rows = rows_v2(database, ASKED)
    except NoHistory as no:
        rows, told = [], str(no)
    assert rows == []
    assert "token" not in told


@pytest.mark.parametrize("answer", [(401, "application/json", "{}"), (200, "text/html", "<html>"), (200, "x", "[]")])
def test_v1_trouble_is_told(flux, answer):
    flux.answer = answer
    with pytest.raises(NoHistory):
        rows_v1(Database(f"http://127.0.0.1:{flux.server_port}", "v1", "sensors"), ASKED)


def test_only_checked_names_reach_a_query(tmp_path):
    assert fields(ASKED) == "^(pm2_5)(__[a-z0-9]+)?$|^quality_(pm2_5)$|^end_ms$|^n$|^coverage$"
    for url in ("ftp://x", "http://user:secret@host", "http://"):
        with pytest.raises(ValueError):
            Database.of(url, api="v1", name="x")


def test_a_name_that_no_query_may_hold_is_refused(tmp_path):
    (tmp_path / "state").mkdir()
    devices = {"a'; DROP DATABASE city; --": device(), "b": device(kind="air")}
    devices["b"]["kind"] = 'air" WHERE 1=1 --'
    options = ("--history", "http://127.0.0.1:9", "--history-name", "city")
    with ScriptedDaemon(tmp_path / "state", devices), LivePage(tmp_path, *options) as live:
        live.ready()
        for key in ("gw-1/b", "gw-1/a%27%3B%20DROP%20DATABASE%20city%3B%20--"):
            status, _, text = live.get(f"/api/history?key={key}&from={rfc(60)}&to={rfc()}")
            assert (status, text) == (503, b"this device has a name that no query may hold\n")
