"""The desk: what opens it, what it runs, what it refuses."""

import asyncio
import json
import sys

import pytest
from virtual_time import run

from gateway.desk import CODE_S, PERMIT_S, Desk

ECHO = (sys.executable, "-c", "import json, sys; print(json.dumps({'argv': sys.argv[1:]}))")


class Bench:
    def __init__(self, command=ECHO):
        self.events, self.again = [], 0
        self.desk = Desk(command, event=self.events.append, now_ms=lambda: 1_795_219_200_000, stop=self._again)

    def _again(self):
        self.again += 1

    async def ask(self, **request):
        return await self.desk.answer(request)

    async def opened(self):
        code = (await self.ask(ask="live-code"))["code"]
        return (await self.ask(ask="unlock", code=code))["permit"]

    async def do(self, permit, what, **more):
        return await self.ask(ask="desk", permit=permit, do=what, **more)


def test_a_code_opens_once_and_only_for_its_time():
    async def body():
        bench = Bench()
        code = (await bench.ask(ask="live-code"))["code"]
        assert "permit" in await bench.ask(ask="unlock", code=code.replace("-", " "))
        assert "no code is open" in (await bench.ask(ask="unlock", code=code))["error"]["fact"]
        code = (await bench.ask(ask="live-code"))["code"]
        await asyncio.sleep(CODE_S)
        assert "no code is open" in (await bench.ask(ask="unlock", code=code))["error"]["fact"]
        assert [event.type for event in bench.events] == ["config"]

    run(body())


def test_five_wrong_codes_void_it_and_are_told():
    async def body():
        bench = Bench()
        code = (await bench.ask(ask="live-code"))["code"]
        wrong = "0000-0001" if code == "0000-0000" else "0000-0000"
        for _ in range(5):
            assert (await bench.ask(ask="unlock", code=wrong))["error"]["code"] == "CG-WEB-05"
        assert "no code is open" in (await bench.ask(ask="unlock", code=code))["error"]["fact"]
        assert "five wrong codes" in bench.events[0].text["en"]

    run(body())


def test_a_permit_ends_by_itself_or_when_told():
    async def body():
        bench = Bench(())  # no tools: nothing to wait for in virtual time
        permit = await bench.opened()
        assert (await bench.do(permit, "state"))["left_s"] == PERMIT_S
        assert "error" in await bench.do(permit + "x", "state")
        assert "error" in await bench.do("", "state")
        await asyncio.sleep(PERMIT_S)
        assert "closed" in (await bench.do(permit, "state"))["error"]["fact"]
        permit = await bench.opened()
        await bench.do(permit, "close")
        assert "error" in await bench.do(permit, "finish")
        await asyncio.sleep(2)
        assert bench.again == 0
        permit = await bench.opened()
        await bench.do(permit, "finish")
        await asyncio.sleep(2)
        assert bench.again == 1

    run(body())


EVIL = (
    "",
    "-h",
    "--config=/etc/x",
    "a b",
    "../x",
    "a;reboot",
    "$(reboot)",
    "A",
    "a" * 40,
    "a\nb",
    "/dev/ttyS0",
    7,
    None,
)


@pytest.mark.parametrize("evil", EVIL)
def test_no_argument_but_an_id_reaches_a_tool(evil):
    async def body():
        bench = Bench(("/bin/false",))
        permit = await bench.opened()
        good = {"bus": "rs485", "unit": 2, "profile": "eastron-sdm120"}
        asks = [("scan", {"bus": evil}), ("read", {"device": evil}), ("add", good | {"bus": evil})]
        asks += [("add", good | {"profile": evil}), ("add", good | {"unit": evil if evil != 7 else 256})]
        asks += [("add", good | {"id": evil or "-"}), ("add", good | {"every": evil or "-"})]
        for what, more in asks:
            assert "error" in await bench.do(permit, what, **more), (what, more)

    asyncio.run(body())


def test_the_tool_is_called_without_a_shell_one_at_a_time():
    async def body():
        bench = Bench()
        permit = await bench.opened()
        more = {"bus": "rs485", "unit": 2, "profile": "eastron-sdm120", "id": "feeder", "every": "2s", "lang": "th"}
        first, second = await asyncio.gather(bench.do(permit, "add", **more), bench.do(permit, "scan", bus="rs485"))
        assert "another tool" in second["error"]["fact"]
        assert first["exit"] == 0
        assert first["lines"] == [
            {"argv": ["--json", "--lang", "th", "add", "rs485/2", "--profile", "eastron-sdm120", "--id", "feeder",
                      "--every", "2s"]}
        ]  # fmt: skip
        assert (await bench.do(permit, "scan", bus="rs485"))["lines"][0]["argv"][-2:] == ["scan", "rs485"]
        assert json.dumps(first)

    asyncio.run(body())


FAULTY = '{"schema": 1, "ok": false, "faults": [{"code": "CG-CFG-01", "fact": "unknown key `kinnd` in [sink.x]"}]}'


def test_finish_over_a_faulty_config_changes_nothing():
    async def body():
        bench = Bench((sys.executable, "-c", f"import sys; print('''{FAULTY}'''); sys.exit(78)"))
        permit = await bench.opened()
        refused = await bench.do(permit, "finish")
        assert "unknown key `kinnd` in [sink.x] (CG-CFG-01)" in refused["error"]["fact"]
        await asyncio.sleep(0.7)
        assert (bench.again, bench.desk.again) == (0, False)
        assert (await bench.do(permit, "state"))["left_s"] > 0  # the permit is still good, to put it right
        assert [event.id.split("-")[1] for event in bench.events] == ["open"]

    asyncio.run(body())
