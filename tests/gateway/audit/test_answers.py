"""A database's answer that is broken, cut or an error half-way is `Unreadable`: no traceback, never taken for whole."""

import http.server
import json
import threading

import pytest
from audit_desk import METER, RECORDS, Desk, raw
from cli_desk import said

from gateway.audit import Key, Unreadable
from gateway.audit.asking import Asked
from gateway.audit.flux import Flux
from gateway.audit.influxql import InfluxQl
from gateway.audit.lines import Lines
from gateway.audit.victoria import Victoria
from gateway.sinks import Site
from gateway.sinks.credentials import Credentials

SITE = Site("c", "g", "", "", "", "", {}, None, (METER,))
FLUX = (
    b"#datatype,string,long,dateTime:RFC3339,double,string,string\r\n#group,false,false,false,false,true,true\r\n"
    b"#default,_result,,,,,\r\n,result,table,_time,_value,_field,_measurement\r\n"
    b",,0,2026-11-21T02:13:00Z,1.0,voltage,energy\r\n"
)
FLUX_ERROR = (
    b"\r\n#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n"
    b",query terminated: memory limit,897\r\n"
)
QL = b'{"results":[{"series":[{"name":"energy","columns":["time","voltage"],"values":[[1795227180000,1.5]]}]}]}'
VM = b'{"metric":{"__name__":"energy_voltage"},"values":[1.5],"timestamps":[1795227180000]}\n'


class Scripted:
    """Answers every question with `body`, whose Content-Length says `more` bytes than there are."""

    def __init__(self):
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Type", "text/csv")
                self.send_header("Content-Length", f"{len(script.body) + script.more}")
                self.end_headers()
                self.wfile.write(script.body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_args):
                pass

        self.body, self.more = b"", 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)


@pytest.fixture
def peer():
    script = Scripted()
    script.thread.start()
    try:
        yield script
    finally:
        script.server.shutdown()
        script.server.server_close()
        script.thread.join(10)


def rows(peer, kind, body, more=0):
    lines = Lines(SITE, points=("*",), rev_tag=False)
    asked = Asked(peer.url, headers={}, tls=None)
    reader = {
        "flux": lambda: Flux(
            peer.url, Credentials(None, None, None), org="o", bucket="b", lines=lines, site=SITE, ca_file=None
        ),
        "ql": lambda: InfluxQl(asked, database="d", lines=lines, site=SITE),
        "vm": lambda: Victoria(asked, lines=lines, site=SITE),
    }[kind]()
    reader.expected(raw(0))
    peer.body, peer.more = body, more
    try:
        return list(reader.rows(Key(METER.id, "raw"), first_ms=raw(0).t_ms, end_ms=raw(9).t_ms))
    finally:
        if kind == "flux":
            reader.close()


@pytest.mark.parametrize(("kind", "body"), [("flux", FLUX), ("ql", QL), ("vm", VM)])
def test_a_whole_answer_is_read_and_a_shorter_one_than_it_says_is_not(peer, kind, body):
    (row,) = rows(peer, kind, body)
    assert row.t_ms == raw(0).t_ms
    with pytest.raises(Unreadable):
        rows(peer, kind, body, more=100)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("flux", FLUX + FLUX_ERROR), ("flux", FLUX[:-20]), ("flux", b"<html>login</html>"), ("flux", b'{"code":"x"}'),
        ("ql", b""), ("ql", b"[]"), ("ql", b'{"results":5}'), ("ql", b'{"results":[5]}'), ("ql", b'{"results":[]}'),
        ("ql", b'{"error":"x"}'), ("ql", b'{"results":[{"error":"timeout"}]}'), ("ql", QL[:-20]),
        ("ql", b'{"results":[{"series":[{"name":"e","columns":["time"]}]}]}'),
        ("ql", b'{"results":[{"series":[{"columns":["time","a"],"values":[[1]]}]}]}'),
        ("ql", b'{"results":[{"series":[{"columns":["a"],"values":[[1]]}]}]}'),
        ("ql", b'{"results":[{"series":[{"columns":["time"],"values":[["x"]]}]}]}'),
        ("ql", b'{"results":[{"series":[{"columns":["time"],"values":[[1]],"tags":{"rev":"x"}}]}]}'),
        ("ql", QL.replace(b"]]}]", b']],"partial":true}]')),
        ("vm", b"<html>"), ("vm", b'{"metric":{},"values":[1],"timestamps":[1]}'),
        ("vm", b'{"metric":{"__name__":"e"},"values":[1,2],"timestamps":[1]}'), ("vm", VM[:-20]),
        ("vm", b'{"metric":{"__name__":"energy_v","rev":"x"},"values":[1],"timestamps":[1]}'),
    ],
)  # fmt: skip
def test_a_broken_answer_is_unreadable(peer, kind, body):
    with pytest.raises(Unreadable):
        rows(peer, kind, body)


def test_one_sink_that_cannot_be_read_does_not_hide_the_others(peer, tmp_path, capsys):
    text = f'[sink.a]\nkind = "influxdb"\napi = "v1"\ndatabase = "d"\nurls = ["{peer.url}"]\n'
    text += f'[sink.db]\nkind = "file"\npath = "{tmp_path}/out"\nstreams = ["raw", "1m", "event"]\n'
    desk = Desk(tmp_path, text)
    desk.deliver(RECORDS)
    desk.journal(RECORDS, also=("a",))
    shown = said(capsys, "journal", "verify", "a", "db", "--json", "--config", desk.config)
    told = [json.loads(line) for line in shown.out.splitlines()]
    assert [one["fault"]["code"] for one in told if "fault" in one] == ["CG-AUD-01"]
    assert [(one["sink"], one["sound"]) for one in told if "sound" in one] == [("db", True)]
    assert shown.code == 69
