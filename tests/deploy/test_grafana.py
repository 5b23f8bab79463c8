"""The Grafana files: as their tables say, whole, and every query understood and answered by a real InfluxDB."""

import asyncio
import importlib.util
import json
import re
from pathlib import Path

import pytest
from parts import Influx1

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana"
BOARDS = ("air", "bus", "city", "energy", "gateway", "traffic")
PANELS = {"timeseries", "stat", "table"}


def build():
    spec = importlib.util.spec_from_file_location("grafana_build", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def boards():
    return {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}


def rules():
    form = json.loads((FOLDER / "provisioning" / "alerting" / "citygate.json").read_text())
    return [rule for group in form["groups"] for rule in group["rules"]]


def test_the_files_are_those_of_the_tables():
    for name, text in build().files().items():
        assert (FOLDER / name).read_text() == text, f"{name}: run python deploy/grafana/build.py"
    assert tuple(boards()) == BOARDS


def test_every_dashboard_is_whole():
    uids = [board["uid"] for board in boards().values()]
    assert len(set(uids)) == len(uids)
    for name, board in boards().items():
        assert [one["name"] for one in board["templating"]["list"]] == ["city", "gateway", "device"], name
        taken = set()
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["type"] in PANELS
            assert re.search("[ก-๙]", panel["title"]) or panel["title"].count("/") == 1, "both languages"
            assert panel["targets"]
            place = panel["gridPos"]
            cells = {
                (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + 8)
            }
            assert not cells & taken, f"{name}: {panel['title']} lies on another"
            assert place["x"] + place["w"] <= 24
            taken |= cells
            if panel["type"] == "timeseries":
                assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False, "a gap is never bridged"
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "citygate"
                assert "$timeFilter" in target["query"]
                assert not re.search(r"fill\((previous|linear)\)", target["query"])


def test_the_detail_view_opens_a_dashboard_that_exists():
    script = (ROOT / "gateway" / "web" / "static" / "detail.js").read_text()
    fields = re.search(r"const field = (\[.*?\])", script).group(1)
    for name in (*json.loads(fields), "city"):
        assert f"citygate-{name}" in {board["uid"] for board in boards().values()}


def test_every_rule_says_what_it_is():
    assert len(rules()) >= 5
    assert len({rule["uid"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["condition"] in {part["refId"] for part in rule["data"]}
        assert re.search("[ก-๙]", rule["annotations"]["summary"])
    assert next(rule for rule in rules() if rule["uid"].endswith("no-data"))["noDataState"] == "Alerting"


def test_no_secret_and_no_foreign_host_in_the_provisioning():
    for path in (FOLDER / "provisioning").rglob("*.yaml"):
        text = path.read_text()
        for word in ("password:", "url:", "user:", "token:"):
            for line in text.splitlines():
                if line.strip().startswith(word):
                    assert "${" in line, f"{path.name}: {line}"


def filled(query, begin_ms, end_ms):
    """The query as Grafana would send it, for all cities, gateways and devices."""
    query = re.sub(r"/\^\$(city|gateway|device)\$/", "/^.*$/", query)
    query = query.replace("$timeFilter", f"time >= {begin_ms}ms AND time <= {end_ms}ms").replace("$__interval", "15m")
    assert "$" not in query.replace("$/", "/"), query
    return query


def ask(part, query):
    """The series found; a query that the database does not understand is an error."""
    answer = json.loads(part.post("/query", db=part.database, q=query, epoch="ms"))["results"][0]
    assert "error" not in answer, (query, answer)
    return answer.get("series", [])


@pytest.mark.parts
def test_every_query_is_answered_from_the_demo_citys_records(tmp_path, monkeypatch):
    """20 h of the demo's history, written as the sink writes it; only what a healthy city lacks may be empty."""
    monkeypatch.setattr("gateway.demo.history.LENGTHS", ("1m", "15m", "1h"))
    end_ms = written = 0
    with Influx1() as part:
        for lines, newest_ms in history(tmp_path):
            part.post("/write", "\n".join(lines).encode(), db=part.database, precision="ms")
            end_ms, written = max(end_ms, newest_ms), written + len(lines)
        assert written > 1000
        begin_ms = end_ms - 86_400_000
        empty = set()
        for name, board in boards().items():
            for panel in board["panels"]:
                rows = [ask(part, filled(target["query"], begin_ms, end_ms)) for target in panel["targets"]]
                if not any(rows):
                    empty.add(f"{name}: {panel['title'].split(' / ')[0]}")
        for rule in rules():
            ask(part, filled(rule["data"][0]["model"]["query"], begin_ms, end_ms))
        aqi = next(rule for rule in rules() if rule["uid"].endswith("aqi-unhealthy"))
        assert ask(part, filled(aqi["data"][0]["model"]["query"], begin_ms, end_ms))
    may = {"Alarms", "Gaps, clock, sinks", "Wires and devices", "Minutes refused", "Minutes garbled", "Humidity"}
    may |= {"Minutes with no answer", "Minutes with a failed poll", "Temperature"}  # a PMS5003 has no thermometer
    assert {one for one in empty if one.split(": ")[1] not in may} == set()


def history(folder):
    from gateway import __version__
    from gateway.codec import Codec
    from gateway.config.load import load
    from gateway.demo.run import City
    from gateway.demo.site import gateway_toml
    from gateway.inventory import inventory
    from gateway.journal.log import open_journal
    from gateway.sinks import Site
    from gateway.sinks.line_protocol import LineProtocol

    city = City(folder, lambda _text: None)
    (folder / "etc").mkdir()
    (folder / "state").mkdir()
    city.config.write_text(gateway_toml(folder, broker_url="mqtt://127.0.0.1:1", database=None, tcp={"plc": 1}))
    loaded = load(city.config)
    city.replay(loaded, hours=20)
    series = tuple(s for item in inventory(loaded.config, profiles_dir=None) for s in item.series.values())
    facts = {"city": "khon-kaen", "gateway": "demo-001", "version": __version__, "boot": "", "epoch": "", "name": {}}
    site = Site(**facts, config_hash="", location=None, series=series, devices={}, streams=())
    encoder = LineProtocol(site)
    journal = open_journal(folder / "state" / "journal")
    try:
        codec, at = Codec(journal.marks), journal.first
        while entries := journal.read(at, limit_bytes=1 << 20):
            records = [codec.decode(entry.kind, entry.payload) for entry in entries if entry.kind <= 2]
            yield [encoder.encode(one) for one in records], max(one.t_ms for one in records)
            at = entries[-1].position + 1
    finally:
        asyncio.run(journal.close())
