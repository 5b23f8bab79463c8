"""`journal verify` against real databases and files: missing, doubled, altered records are named, nothing else."""

import json
from collections import Counter

import pytest
from audit_desk import RECORDS, T0_MS, Desk, event, raw, scripted_database, window
from cli_desk import said
from parts import Influx1, VictoriaMetrics

from gateway.clock import rfc3339

STREAMS = 'streams = ["raw", "1m", "event"]\n'


def v1(part):
    return f'[sink.db]\nkind = "influxdb"\napi = "v1"\ndatabase = "{part.database}"\nurls = ["{part.url}"]\n{STREAMS}'


def v2(part):
    return f'[sink.db]\nkind = "influxdb"\norg = "kk"\nbucket = "city"\nurls = ["{part.url}"]\n{STREAMS}'


def told(capsys, desk, *more):
    shown = said(capsys, "journal", "verify", *more, "--json", "--config", desk.config)
    lines = [json.loads(line) for line in shown.out.splitlines()]
    findings = {(one["finding"], one["device"], one["stream"], one["t"]): one for one in lines if "finding" in one}
    total = next((one for one in lines if "sound" in one), None)
    return shown.code, findings, total


def at(n):
    return rfc3339(T0_MS + 1000 * n)


@pytest.fixture(params=[
    pytest.param("influxql", marks=pytest.mark.parts), "flux", "jsonl", "csv", "lp",
    pytest.param("victoria", marks=pytest.mark.parts),
])  # fmt: skip
def desk(request, tmp_path):
    if request.param == "influxql":
        with Influx1() as part:
            yield Desk(tmp_path, v1(part))
    elif request.param == "victoria":
        with VictoriaMetrics(dedup=False) as part:
            yield Desk(tmp_path, v2(part))
    elif request.param == "flux":
        with scripted_database() as part:
            yield Desk(tmp_path, v2(part))
    else:
        text = f'[sink.db]\nkind = "file"\nformat = "{request.param}"\npath = "{tmp_path}/out"\n{STREAMS}'
        yield Desk(tmp_path, text)


def test_a_sound_delivery_is_called_sound(desk, capsys):
    assert len(desk.deliver(RECORDS).delivered) == len(RECORDS)
    desk.journal([*RECORDS, raw(50), raw(51)], waiting=2)
    code, findings, total = told(capsys, desk, "db")
    assert (code, findings) == (0, {})
    assert (total["expected"], total["found"], total["waiting"]) == (len(RECORDS), len(RECORDS), 2)


def test_missing_and_altered_are_named(desk, capsys):
    sent = [record for index, record in enumerate(RECORDS) if index not in {3, 41, 44}]
    sent[10] = raw(11, value=999.5)  # what stood at the place of the fourth lies one earlier
    desk.deliver([*sent, raw(70)])  # one that the journal does not know: raw of the second before a power cut
    desk.journal(RECORDS, dead=(20,))
    code, findings, total = told(capsys, desk, "db")
    assert code == 1
    assert set(findings) == {
        ("missing", "main-meter", "raw", at(3)), ("missing", "main-meter", "1m", at(0)),
        ("missing", "_gateway", "event", at(7)), ("altered", "main-meter", "raw", at(11)),
    }  # fmt: skip
    assert "999.5" in findings["altered", "main-meter", "raw", at(11)]["detail"]
    assert (total["missing"], total["altered"], total["dead"], total["beyond"]) == (3, 1, 1, 2)


def test_a_range_alone_is_compared(desk, capsys):
    desk.deliver([raw(n) for n in range(40) if n not in {5, 30}])
    desk.journal([raw(n) for n in range(40)])
    code, findings, total = told(capsys, desk, "--from", at(10), "--to", at(35))
    assert (code, set(findings), total["expected"]) == (1, {("missing", "main-meter", "raw", at(30))}, 25)
    code, findings, _ = told(capsys, desk, "--from", at(10), "--to", at(30))
    assert (code, findings) == (0, {})


def test_before_a_sink_was_there_it_owes_nothing(desk, capsys):
    desk.deliver([raw(n) for n in range(20, 40)])
    desk.journal([raw(n) for n in range(40)], since=20)
    assert told(capsys, desk)[0] == 0


@pytest.mark.parametrize("form", ["jsonl", "csv", "lp"])
def test_doubled_records_of_files(tmp_path, capsys, form):
    desk = Desk(tmp_path, f'[sink.db]\nkind = "file"\nformat = "{form}"\npath = "{tmp_path}/out"\n{STREAMS}')
    desk.deliver(RECORDS)
    desk.deliver([raw(5), raw(5), event(1)])
    with (tmp_path / "out").open("a") as file:
        file.write('{"torn":')
    desk.journal(RECORDS)
    code, findings, _ = told(capsys, desk)
    assert code == 1
    assert Counter(what for what, *_ in findings) == {"doubled": 2}
    assert findings["doubled", "main-meter", "raw", at(5)]["detail"] == "3 times"


@pytest.mark.parts
def test_doubled_points_of_victoriametrics_and_none_with_deduplication(tmp_path, capsys):
    for dedup in (False, True):
        (tmp_path / f"{dedup}").mkdir()
        with VictoriaMetrics(dedup=dedup) as part:
            desk = Desk(tmp_path / f"{dedup}", v2(part))
            desk.deliver(RECORDS)
            desk.deliver([raw(5), window(0)])
            desk.journal(RECORDS)
            code, findings, _ = told(capsys, desk)
            doubled = {("doubled", "main-meter", "raw", at(5)), ("doubled", "main-meter", "1m", at(0))}
            assert (code, set(findings)) == ((0, set()) if dedup else (1, doubled))


@pytest.mark.parts
def test_amended_records_lie_over_the_first_in_influxdb(tmp_path, capsys):
    records = [raw(1), raw(2), raw(1, rev=1, value=231.7), window(0), window(0, rev=1, mean=230.9)]
    with Influx1() as part:
        desk = Desk(tmp_path, v1(part))
        desk.deliver(records)
        desk.journal(records)
        assert told(capsys, desk)[:2] == (0, {})
        desk.deliver([raw(1)])  # an old revision comes late and lies on top
        code, findings, _ = told(capsys, desk)
    assert (code, set(findings)) == (1, {("altered", "main-meter", "raw", at(1))})


def test_a_sink_that_cannot_be_read_is_said_so(tmp_path, capsys):
    mqtt = '[sink.city]\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:1"]\n'
    desk = Desk(tmp_path, mqtt, sink="city")
    desk.journal(RECORDS)
    assert said(capsys, "journal", "verify", "--config", desk.config).code == 0
    shown = said(capsys, "journal", "verify", "city", "--config", desk.config)
    assert (shown.code, "CG-AUD-02" in shown.err) == (69, True)
    shown = said(capsys, "journal", "verify", "citi", "--config", desk.config)
    assert (shown.code, "CG-AUD-03" in shown.err, "city" in shown.err) == (2, True, True)


def test_a_database_that_is_away_is_said_so(tmp_path, capsys):
    away = '[sink.db]\nkind = "influxdb"\napi = "v1"\ndatabase = "d"\nurls = ["http://127.0.0.1:9"]\n'
    desk = Desk(tmp_path, away)
    desk.journal(RECORDS)
    shown = said(capsys, "journal", "verify", "db", "--config", desk.config)
    assert (shown.code, "CG-AUD-01" in shown.err) == (69, True)


def test_for_people_it_is_a_table_and_a_command_to_repair(tmp_path, capsys):
    desk = Desk(tmp_path, f'[sink.db]\nkind = "file"\npath = "{tmp_path}/out"\n{STREAMS}')
    desk.deliver(RECORDS[1:])
    desk.journal(RECORDS)
    shown = said(capsys, "journal", "verify", "db", "--config", desk.config)
    assert shown.code == 1
    assert f"missing  db main-meter/raw {at(0)}" in shown.out
    assert f"citygate journal replay --sink db --from {at(0)}" in shown.err
