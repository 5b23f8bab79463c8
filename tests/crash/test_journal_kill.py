"""I2, I6 with real processes: SIGKILL at random moments; the lock dies with its owner; the next start loses nothing."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.journal.errors import JournalBusy
from gateway.journal.log import open_journal

pytestmark = pytest.mark.crash
CHILD = Path(__file__).with_name("journal_child.py")


def start(folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )


def run_and_kill(folder, after_lines, jitter_s):
    """Kill the child some time after its n-th line; returns the last promise that it could print."""
    with start(folder) as child:
        lines = [child.stdout.readline() for _ in range(after_lines)]
        timer = threading.Timer(jitter_s, os.kill, (child.pid, signal.SIGKILL))
        timer.start()
        lines += child.stdout.readlines()
        timer.join()
    assert child.returncode == -signal.SIGKILL
    acks = [line.split() for line in lines if line.endswith("\n") and line.startswith("ack ")]
    return [int(word) for word in acks[-1][1:]]


@pytest.mark.parametrize("rounds", [pytest.param(6, id="short"), pytest.param(200, id="long", marks=pytest.mark.soak)])
@pytest.mark.timeout(1200)
def test_i2_sigkill_loses_no_promise(tmp_path, rounds):
    rng = random.Random(rounds)
    folder = tmp_path / "journal"
    for _ in range(rounds):
        first, committed = run_and_kill(folder, rng.randrange(2, 40), rng.random() * 0.01)
        asyncio.run(everything_is_there(folder, first, committed))


async def everything_is_there(folder, first, committed):
    journal = open_journal(folder)
    try:
        assert journal.first <= first < committed <= journal.next
        position = journal.first
        while entries := journal.read(position, limit_bytes=1 << 20):
            assert [e.position for e in entries] == list(range(position, position + len(entries)))
            assert all(e.payload == b"payload of %d" % e.position for e in entries)
            position += len(entries)
        assert position == journal.next
        assert committed <= int(journal.marks["cursor"]) <= journal.next
        assert [d for d in journal.damages if d.last >= d.first] == []
    finally:
        await journal.close()


def test_i6_the_owner_is_named_and_its_lock_dies_with_it(tmp_path):
    folder = tmp_path / "journal"
    with start(folder) as child:
        child.stdout.readline()
        try:
            with pytest.raises(JournalBusy) as caught:
                open_journal(folder)
            assert caught.value.pid in {child.pid, None}  # None: the kernel hides /proc/locks
            assert str(folder) in str(caught.value)
        finally:
            child.kill()
            child.stdout.read()
    asyncio.run(open_journal(folder).close())


def test_i6_a_second_opening_in_this_process_is_refused(tmp_path):
    async def twice():
        journal = open_journal(tmp_path)
        with pytest.raises(JournalBusy):
            open_journal(tmp_path)
        await journal.close()
        await open_journal(tmp_path).close()

    asyncio.run(twice())
