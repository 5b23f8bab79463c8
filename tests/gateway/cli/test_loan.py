"""The tool's end of a loan: made longer while the work goes on, ended where it is refused, found by the wire itself."""

import asyncio

import pytest
from cli_desk import daemon, said, site

from gateway.catalogue.fault import EXIT_AGAIN, Trouble
from gateway.cli import loan
from gateway.cli.face import Face
from gateway.cli.target import target
from gateway.local import LocalSocket


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(loan, "RENEW_S", 0.02)
    monkeypatch.setattr(loan, "ABSENT_S", 0.02)


class Owner:
    """Answers as the daemon does; refuses the loan with the number `refuse`."""

    def __init__(self, refuse=-1):
        self.refuse, self.asked = refuse, []

    def __call__(self, request):
        self.asked.append(request)
        if len(self.asked) > self.refuse >= 0:
            return {"error": {"code": "CG-BUS-19", "fact": "this loan is over"}}
        return {"bus": "plc", "lent_s": request["for_s"], "token": "t1"}


def test_a_loan_lasts_as_long_as_the_work(tmp_path):
    face, owner = Face(config=site(tmp_path)), Owner()

    async def work():
        while len(owner.asked) < 4:
            await asyncio.sleep(0.01)
        return "done"

    with daemon(tmp_path / "state/citygate.sock", answer=owner):
        assert loan.borrowed(face, target(face, "plc"), work=work) == "done"
    assert [one["token"] for one in owner.asked[:3]] == ["", "t1", "t1"]
    assert all(one["for_s"] == loan.LEASE_S for one in owner.asked[:4])
    assert (owner.asked[-1]["for_s"], owner.asked[-1]["token"]) == (0.0, "t1")
    assert owner.asked[0]["endpoint"] == "127.0.0.1:502"


def test_the_work_ends_where_the_loan_does(tmp_path):
    face, ended = Face(config=site(tmp_path)), []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with daemon(tmp_path / "state/citygate.sock", answer=Owner(refuse=2)), pytest.raises(Trouble) as told:
        loan.borrowed(face, target(face, "plc"), work=work)
    assert (ended, told.value.exit_code) == ([True], EXIT_AGAIN)
    assert told.value.faults[0].code == "CG-BUS-19"


def test_a_daemon_that_starts_during_the_work_is_asked(tmp_path):
    face, owner = Face(config=site(tmp_path)), Owner()

    async def work():
        async def answered(request):
            return owner(request)

        local = LocalSocket(tmp_path / "state/citygate.sock", snapshot=dict, answer=answered)
        await asyncio.sleep(0.05)
        await local.open()
        while not owner.asked:
            await asyncio.sleep(0.01)
        await local.close()
        return 7

    assert loan.borrowed(face, target(face, "plc"), work=work) == 7, "a daemon that went away hides no result"
    assert owner.asked[0]["token"] == ""


def test_a_faulty_config_keeps_no_tool_from_asking(capsys, tmp_path):
    path, owner = site(tmp_path, more="\n[sink.x]\nkinnd = 1\n"), Owner(refuse=0)
    with daemon(tmp_path / "state/citygate.sock", answer=owner):
        shown = said(capsys, "--config", path, "scan", "localhost:502", "--ids", "2")
    assert shown.code == EXIT_AGAIN, shown
    assert owner.asked[0]["endpoint"] == "localhost:502"
