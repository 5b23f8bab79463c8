"""The audit beside the running daemon: what a database lost is named and replayed; dead letters go again."""

import json
import subprocess
import sys

import pytest
from cli_desk import in_form
from e2e_site import RunningSite
from parts import poll

pytestmark = [pytest.mark.e2e, pytest.mark.parts]


def verb(site, *words):
    """Exit code and the JSON objects that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--json", "--config", str(site.folder / "etc"), "journal", *words],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    in_form(done.stdout, ["journal", *words])
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_loss_is_named_and_repaired_while_the_daemon_runs(tmp_path):
    with RunningSite(tmp_path / "site") as site:
        site.start()
        poll(lambda: site.ask({"ask": "snapshot"})["sinks"]["database"]["confirmed"] > 100, what="records")
        code, lines = verb(site, "verify", "database")
        assert (code, lines[-1]["sound"]) == (0, True), lines
        assert lines[-1]["expected"] == lines[-1]["found"] > 60
        site.database.query('DROP MEASUREMENT "energy"')
        site.database.query('DROP MEASUREMENT "energy_window"')
        code, lines = verb(site, "verify", "database")
        missing = [line for line in lines if line.get("finding") == "missing"]
        assert code == 1
        assert {line["device"] for line in missing} >= {"main-meter", "feeder-2"}
        assert not any(line["device"] == "air-north" for line in missing)
        code, (told,) = verb(site, "replay", "--sink", "database", "--from", "2020-01-01")
        assert (code, told["done"]) == (0, True), told
        assert told["fates"]["delivered"] == told["found"] >= len(missing)
        code, lines = verb(site, "verify", "database")
        assert (code, lines[-1]["missing"], lines[-1]["altered"]) == (0, 0, 0), lines
        assert site.stop() == 0
        sinks = verb(site, "status")[1][0]["sinks"]["database"]
        fates = ("delivered", "unheard", "sent", "dead", "sampled", "dropped", "waiting")
        assert sinks["selected"] == sum(sinks[fate] for fate in fates)


@pytest.mark.timeout(300)
def test_dead_letters_are_listed_explained_and_requeued(tmp_path):
    with RunningSite(tmp_path / "site") as site:
        site.database.post("/write", b'water,city=khon-kaen,device=canal,gateway=demo-001 distance="text"', db="city")
        site.start()
        poll(lambda: site.ask({"ask": "snapshot"})["sinks"]["database"]["dead"] > 2, what="dead letters")
        poll(lambda: len(verb(site, "dead", "list")[1]) > 2, what="letters on disk")
        letters = verb(site, "dead", "list", "--sink", "database")[1]
        assert all("type conflict" in letter["reason"] for letter in letters)
        assert {letter["record"]["device"] for letter in letters} == {"canal"}
        number = letters[0]["number"]
        assert verb(site, "dead", "show", str(number))[1][0]["record"] == letters[0]["record"]
        assert verb(site, "dead", "requeue", str(number))[1][0]["fates"] == {"dead": 1}  # nothing was repaired yet
        site.database.query("DROP DATABASE city; CREATE DATABASE city")  # a field keeps its type while its shard lives
        code, (told,) = verb(site, "dead", "requeue", str(number))
        assert (code, told["fates"]) == (0, {"delivered": 1})
        poll(
            lambda: number not in {one["number"] for one in verb(site, "dead", "list")[1]}, what="the letter to be gone"
        )
        rows = site.database.query('SELECT seq FROM "water"')
        assert letters[0]["record"]["seq"] in {row["seq"] for row in rows}
        assert verb(site, "dead", "show", "999999999")[0] == 65
        assert site.stop() == 0
