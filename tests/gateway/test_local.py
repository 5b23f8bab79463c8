"""The local socket: snapshot, questions, subscribers; bad lines are answered, slow readers lose oldest and are told."""

import asyncio
import json
import stat

import pytest

import gateway.local
from gateway.local import LocalSocket, ask, subscribe


async def answer(request):
    return {"echo": request}


def serving(scenario):
    def run(tmp_path):
        async def main():
            local = LocalSocket(tmp_path / "s.sock", snapshot=lambda: {"schema": 1}, answer=answer)
            await local.open()
            try:
                await asyncio.wait_for(scenario(local), 20)
            finally:
                await local.close()

        asyncio.run(main())

    return run


async def snapshot(local):
    assert await ask(local.path, {"ask": "snapshot"}) == {"schema": 1}
    assert await ask(local.path, {"ask": "other", "x": 1}) == {"echo": {"ask": "other", "x": 1}}
    assert stat.S_IMODE(local.path.stat().st_mode) == 0o600


async def garbage(local):
    reader, writer = await asyncio.open_unix_connection(local.path)
    for line in (b"not json\n", b"[1]\n", b"{}\n"):
        writer.write(line)
        got = json.loads(await reader.readline())
        assert got.get("error", {}).get("code") == "CG-SYS-04" or got == {"echo": {}}
    writer.write(b"x" * 100_000 + b"\n")
    assert await reader.read() == b""
    writer.close()
    assert await ask(local.path, {"ask": "snapshot"}) == {"schema": 1}


async def follow(local):
    lines = subscribe(local.path)
    assert await anext(lines) == {"schema": 1}
    assert local.watched
    local.publish({"n": 1})
    local.publish({"n": 2})
    assert [await anext(lines), await anext(lines)] == [{"n": 1}, {"n": 2}]
    await lines.aclose()
    while local.watched:
        local.publish({"n": 3})
        await asyncio.sleep(0)


async def slow(local):
    lines = subscribe(local.path)
    await anext(lines)
    for number in range(5000):  # in one go: the subscriber's task never runs
        local.publish({"n": number})
    assert await anext(lines) == {"lost": 4000}
    assert await anext(lines) == {"n": 4000}
    await lines.aclose()


async def one_history_at_a_time(local):
    """Their answers are long: the next is made when the one before is taken, or its asker is gone."""
    begun, more = [], asyncio.Event()

    async def long(request):
        begun.append(request["n"])
        await more.wait()
        return {"records": "x" * (4 << 20)}

    local._answer = long
    _reader, idle = await asyncio.open_unix_connection(local.path)
    idle.write(b'{"ask":"history","n":0}\n')
    while not begun:
        await asyncio.sleep(0)
    asking = asyncio.create_task(ask(local.path, {"ask": "history", "n": 1}))
    assert await ask(local.path, {"ask": "snapshot"}) == {"schema": 1}
    assert begun == [0]
    more.set()
    assert len((await asking)["records"]) == 4 << 20  # although the first never reads
    assert begun == [0, 1]
    idle.close()


@pytest.mark.parametrize("scenario", [snapshot, garbage, follow, slow, one_history_at_a_time])
def test_local(scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(gateway.local, "TAKE_S", 0.5)
    serving(scenario)(tmp_path)


def test_nobody_there(tmp_path):
    with pytest.raises(OSError):
        asyncio.run(ask(tmp_path / "none.sock", {"ask": "snapshot"}))
