"""The number of the next record: by one in an epoch, of the first issue for an amendment, never that of another."""

from made_records import EPOCH, raw, series, window
from ram_journal import RamJournal

from gateway.codec import Codec
from gateway.numbers import FIRSTS, Numbers

METER = series()
T0 = 1_795_000_000_000


def numbers(journal=None, epoch=EPOCH):
    journal, codec = journal or RamJournal(), Codec({})
    codec.schema_marks(METER)
    return Numbers(journal=journal, codec=codec, epoch=epoch)


def peek(one, stream, t_ms, rev=0):
    return one.peek("meter", stream, t_ms=t_ms, rev=rev)


def test_an_amendment_has_the_number_of_its_first_issue():
    one = numbers()
    for seq in (1, 2, 3):
        assert peek(one, "1m", T0 + 60_000 * seq) == (EPOCH, seq, None)
        one.issue(window(METER, T0 + 60_000 * seq, seq))
    assert peek(one, "1m", T0 + 120_000, rev=1) == (EPOCH, 2, None)
    one.issue(window(METER, T0 + 120_000, 2, rev=1))
    assert peek(one, "1m", T0 + 120_000, rev=2) == (EPOCH, 2, None)
    assert peek(one, "1m", T0 + 240_000) == (EPOCH, 4, None), "the amendment took no number"


def test_an_amendment_of_another_epoch_has_the_number_of_then():
    """A recall tells of what was issued before the start."""
    one = numbers(epoch="00000002-beef")
    one.first_issue(window(METER, T0, 41))
    assert peek(one, "1m", T0, rev=1) == (EPOCH, 41, None)
    one.issue(window(METER, T0, 41, rev=1))
    assert peek(one, "1m", T0 + 60_000) == ("00000002-beef", 1, None), "the old number is not of this epoch"


def test_an_amendment_whose_first_issue_is_forgotten_takes_a_number_of_its_own():
    """Never one that another record has or will have: it would replace it."""
    one = numbers()
    for seq in range(1, FIRSTS + 3):
        one.issue(window(METER, T0 + 5000 * seq, seq))
    given = peek(one, "1m", T0 + 5000, rev=1)
    assert given == (EPOCH, FIRSTS + 3, None)
    one.issue(window(METER, T0 + 5000, FIRSTS + 3, rev=1))
    assert peek(one, "1m", T0 + 5000, rev=2) == given, "from now on it is known by that"
    assert peek(one, "1m", T0 + 10**7) == (EPOCH, FIRSTS + 4, None)


def test_the_first_of_an_epoch_names_the_last_committed_one():
    journal = RamJournal()
    one = numbers(journal)
    one.issue(raw(METER, T0, 7))
    one.mark()
    journal.commit_now()
    again = numbers(journal, "00000002-beef")
    assert peek(again, "raw", T0 + 1000) == ("00000002-beef", 1, (EPOCH, 7))
    again.issue(raw(METER, T0 + 1000, 1, epoch="00000002-beef"))
    assert peek(again, "raw", T0 + 2000) == ("00000002-beef", 2, None)
