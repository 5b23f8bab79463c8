"""What stood when the gateway ended is cleared after the next start, unless it is raised again."""

import asyncio

import msgspec
import pytest
from ram_journal import RamJournal

from firmware_sims import virtual_time
from gateway.reading import Event
from gateway.record import Record
from gateway.troubles import AGAIN_S, MARK, Troubles


class Life:
    """One run of the gateway over a journal."""

    def __init__(self, journal):
        self.journal, self.said = journal, []
        self.troubles = Troubles(journal, say=lambda kind: lambda *what: self.say(kind, *what), stations=["meter"])

    def say(self, kind, name, code, state, fact="x"):
        self.said.append((kind, name, code, state))
        event = Event("_gateway", 1, f"{kind}-{name}-{code}", kind, code, state, 1, {"en": fact})
        self.troubles.note(1, Record("_gateway", "event", 1, "00000001-abcd", 1, event))
        self.journal.commit_now()


@pytest.mark.parametrize(("kind", "name", "code"), [("sink", "city", "CG-MQT-01"), ("link", "rs485-a", "CG-BUS-05")])
@pytest.mark.parametrize("again", [False, True])
def test_what_stood_is_cleared_after_a_start_unless_it_came_again(kind, name, code, again):
    journal = RamJournal()
    before = Life(journal)
    before.say(kind, name, code, "raised")
    before.say("sink", "other", "CG-INF-01", "raised")
    before.say("sink", "other", "CG-INF-01", "cleared")
    life = Life(journal)
    if again:
        life.say(kind, name, code, "raised")
    virtual_time.run(life.troubles.run())
    assert life.said == [(kind, name, code, "raised" if again else "cleared")]
    assert list(msgspec.msgpack.decode(journal.marks[MARK])[1]) == ([f"{kind}-{name}-{code}"] if again else [])
    assert not Life(journal).troubles._before or again


def test_a_stranger_is_left_to_the_wire_that_asks():
    journal = RamJournal()
    before = Life(journal)
    for station in ("meter", "gone"):
        before.say("link", station, "CG-BUS-06", "raised")
    life = Life(journal)
    assert life.troubles.strangers == {"meter"}
    virtual_time.run(life.troubles.run())
    assert life.said == [("link", "gone", "CG-BUS-06", "cleared")]  # nobody asks it any more


def test_it_waits_before_it_clears():
    journal = RamJournal()
    Life(journal).say("sink", "city", "CG-MQT-01", "raised")
    life = Life(journal)

    async def too_soon():
        task = asyncio.create_task(life.troubles.run())
        await asyncio.sleep(AGAIN_S - 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(too_soon())
    assert life.said == []


def test_other_events_are_nobody_of_it():
    life = Life(RamJournal())
    life.say("alarm", "hot", "CG-ALM-01", "raised")
    life.say("sink", "city", "CG-SNK-09", "info")
    assert MARK not in life.journal.marks
