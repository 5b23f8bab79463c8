"""`citygate scan` against simulated devices on a real pty and real sockets."""

import json

import pytest
from cli_desk import said, site
from tcp_slave import slave, whole

pytest_plugins = ()


def rows(out):
    return [json.loads(row) for row in out.splitlines()]


def test_scan_of_a_port(capsys, cg_bus, tmp_path):
    placed = cg_bus({3: "eastron-sdm630"})
    port = placed[3].port
    shown = said(capsys, "--json", "--config", tmp_path, "scan", port, "--line", "9600 8N1", "--ids", "2-4")
    found = [row for row in rows(shown.out) if row.get("type") == "found"]
    assert shown.code == 0, shown
    assert [(row["unit"], row["line"], row["profiles"][0]["profile"]) for row in found] == [
        (3, "9600 8N1", "eastron-sdm630")
    ]
    assert rows(shown.out)[-1] == {"schema": 1, "type": "summary", "wire": port, "found": 1, "faults": 0}
    told = said(capsys, "--config", tmp_path, "scan", port, "--line", "9600 8N1", "--ids", "3")
    assert "FOUND id 3  9600 8N1" in told.out
    assert f'next: citygate add {port}/3 --profile eastron-sdm630 --line "9600 8N1"' in told.out
    assert "\x1b" not in told.out + told.err


def test_silence_lists_causes_and_picks_none(capsys, cg_bus, tmp_path):
    port = cg_bus({3: "eastron-sdm630"})[3].port
    shown = said(capsys, "--config", tmp_path, "scan", port, "--line", "9600 8N1", "--ids", "7-8", "--timeout", "0.1")
    assert shown.code == 1
    assert "error[CG-BUS-15]" in shown.err
    assert "1. no power" in shown.err
    assert "2. A and B swapped" in shown.err


@pytest.mark.parametrize("bad", [["--ids", "x"], ["--ids", "9-3"], ["--line", "9600"], ["--ids", "1-300"]])
def test_misuse(capsys, tmp_path, bad):
    assert said(capsys, "--config", tmp_path, "scan", "/dev/ttyX", *bad).code == 2


def test_an_unknown_bus_and_an_absent_port(capsys, tmp_path):
    shown = said(capsys, "--config", site(tmp_path), "scan", "plx")
    assert shown.code == 2
    assert "you meant `plc`" in shown.err
    absent = said(capsys, "--config", tmp_path, "scan", tmp_path / "ttyNone")
    assert absent.code == 69
    assert "CG-BUS-01" in absent.err


@pytest.mark.e2e
def test_the_daemon_lends_its_wire_and_takes_it_back(capsys, cg_bus, cg_daemon):
    """Never two masters: the scan of a bus that a daemon reads goes through a loan, and readings go on behind it."""
    placed = cg_bus({3: "eastron-sdm630"})
    gateway = cg_daemon(placed, every="0.5s")
    gateway.until(lambda record: record["v"])
    patient = ("--ids", "3", "--line", "9600 8N1", "--timeout", "3")  # a busy machine may answer late
    argv = ["--json", "--config", gateway.folder / "gateway.toml", "scan", "wire-1", *patient]
    shown = said(capsys, *argv)
    assert shown.code == 0, shown
    assert rows(shown.out)[0]["unit"] == 3
    argv = ["raw", placed[3].port, "-b", "9600", "-p", "none", "-a", "3", "-t", "3:float", "-o", "3"]
    by_path = said(capsys, "--config", gateway.folder / "gateway.toml", *argv)
    assert by_path.code == 0, by_path
    last_t = gateway.records()[-1]["t"]
    gateway.until(lambda record: record["v"] and record["t"] > last_t)
    assert "Traceback" not in gateway.log()
    assert "lent to a technician" in gateway.log()


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_scan_of_a_host_tries_both_framings(capsys, cg_bench, tmp_path, framing):
    name = "schneider-pm5xxx" if framing == "tcp" else "eastron-sdm630"
    placed = cg_bench.device(name, unit=1, tcp=True)
    shown = said(capsys, "--json", "--config", tmp_path, "scan", f"127.0.0.1:{placed.tcp}", "--ids", "1-2")
    found = [row for row in rows(shown.out) if row.get("type") == "found" and row["unit"] == 1]
    assert found, shown
    assert found[0]["framing"] == framing
    assert name in [who["profile"] for who in found[0]["profiles"]]


def answering(values=(), *, others=None):
    """What a TCP device says: values under the ids `values` (None: all), exception `others` under the rest."""

    def parts(request):
        if (values is None or request[6] in values) and request[7] in {3, 4}:
            return [whole(request)]
        return [request[:4] + bytes([0, 3, request[6], request[7] | 0x80, others or 1])]

    return parts


@pytest.mark.parametrize(
    ("device", "ids", "warned"),
    [
        (answering(None), [1], True),  # does not look at the unit id
        (answering(others=1), [1], True),
        (answering(others=4), [1], True),
        (answering({3}, others=4), [3], False),  # a gateway that answers itself for whom it does not have
        (answering({3, 4}, others=11), [3, 4], False),
        (answering(others=11), [], False),
    ],
)
def test_one_device_is_found_once(capsys, tmp_path, device, ids, warned):
    with slave(device) as where:
        shown = said(capsys, "--json", "--config", tmp_path, "scan", where, "--ids", "1-6", "--timeout", "3")
    assert [row["unit"] for row in rows(shown.out) if row.get("type") == "found"] == ids, shown
    assert ("CG-DEV-07" in shown.out) == warned
    assert shown.code == (0 if ids else 1)


@pytest.mark.parametrize("function", ["17", "43"])
def test_raw_asks_who_is_there(capsys, tmp_path, cg_bench, function):
    placed = cg_bench.device("schneider-pm5xxx", unit=1, tcp=True)
    shown = said(capsys, "--config", tmp_path, "raw", f"127.0.0.1:{placed.tcp}", "-a", "1", "-t", function)
    if function == "43":
        assert shown.code == 0, shown
        assert "Schneider" in shown.out
    else:
        assert "CG-DEV-02" in shown.err


def test_the_command_that_adds_is_called_as_the_scan_was(capsys, cg_bus, monkeypatch, tmp_path):
    port = cg_bus({3: "eastron-sdm630"})[3].port
    monkeypatch.setattr("gateway.cli.again._through_sudo", lambda: "sudo -u citygate ")
    told = said(capsys, "--config", tmp_path, "scan", port, "--line", "9600 8N1", "--ids", "3")
    wanted = (
        f'next: sudo -u citygate citygate add {port}/3 --profile eastron-sdm630 --line "9600 8N1" --config {tmp_path}'
    )
    assert told.out.splitlines()[-1] == wanted
