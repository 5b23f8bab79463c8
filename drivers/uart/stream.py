"""Stream devices: bytes of one device in, samples out; what it had to reject is counted with its reason.

`Ear` frames and decodes, `StreamDevice` is a device that talks by itself. Devices that are asked: polled.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from drivers.errors import BadFrame, ReplyError
from drivers.profile import Profile
from drivers.sample import Sample
from drivers.uart.family import Facts, Family, Framer, Piece
from drivers.uart.registry import family
from drivers.uart.rows import Rows

KEPT: Final = 16  # rejected candidates kept as evidence
MAX_REPLIES: Final = 64
LONGEST_NAME: Final = 64  # characters of an interval's or event's name that are kept as they are


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the start: whole frames, samples made of them, repeats left out, rejects by reason, junk.

    `junk_bytes` belonged to no frame, `foreign` frames were no answer to what was asked, `late_bytes` came after their
    poll was given up.
    """

    frames: int = 0
    samples: int = 0
    repeated: int = 0
    junk_bytes: int = 0
    foreign: int = 0
    late_bytes: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """One judged stretch of the stream: the facts of a good frame, or the error that rejected it."""

    piece: Piece
    facts: tuple[Facts, ...] = ()
    error: ReplyError | None = None


def brief(once: str) -> str:
    """The name of an interval or event, short whatever the device made of it."""
    return once if len(once) <= LONGEST_NAME else blake2b(once.encode(), digest_size=16).hexdigest()


def remember(seen: dict[str, str], part: str, *, name: str) -> None:
    """`part` told `name` last; the parts stand in the order in which they were heard last."""
    seen.pop(part, None)
    seen[part] = name


class Ear:
    """A framer with its family's decoder behind it, and the counts of both."""

    def __init__(self, family: Family, variant: str = "") -> None:
        self.family = family
        self.variant = variant
        self.framer = Framer(family)
        self.frames = 0
        self.reasons: Counter[str] = Counter()
        self.rejected: deque[Piece] = deque(maxlen=KEPT)

    def feed(self, data: bytes) -> list[Heard]:
        """What `data` completed."""
        return [self._judge(piece) for piece in self.framer.feed(data)]

    def finish(self) -> list[Heard]:
        """What was left unfinished when the stream paused or ended."""
        return [self._judge(piece) for piece in self.framer.finish()]

    def _judge(self, piece: Piece) -> Heard:
        if piece.reason:
            return self._reject(piece, BadFrame(piece.reason, seen=piece.data))
        try:
            facts = self.family.decode(piece.data, self.variant)
        except BadFrame as error:
            return self._reject(Piece(piece.offset, piece.data, "layout"), error)
        except ReplyError as error:
            self.frames += 1
            return Heard(piece, error=error)
        except Exception as error:  # noqa: BLE001 - a foreign decoder's bug is that frame's failure
            fact = f"decoder: {type(error).__name__}: {error}"
            return self._reject(Piece(piece.offset, piece.data, "decoder"), BadFrame(fact, seen=piece.data))
        self.frames += 1
        return Heard(piece, facts)

    def _reject(self, piece: Piece, error: BadFrame) -> Heard:
        self.reasons[piece.reason if len(self.reasons) < 64 else "other"] += 1
        self.rejected.append(piece)
        return Heard(piece, error=error)


class StreamDevice:
    """A device that talks by itself (`speaks = "push"`), alone on its wire. Follows `drivers.device.Pushing`."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.replies: deque[bytes] = deque(maxlen=MAX_REPLIES)
        self._family = family(profile.family)
        self._ear = Ear(self._family, profile.variant)
        self._rows = Rows(profile)
        self._marks: list[tuple[int, int]] = []  # (offset in the stream, arrival) of chunks not yet used up
        self._end = 0
        self._last_ns = 0
        self.seen: dict[str, str] = {}  # as drivers.device.Remembering
        self._samples = 0
        self._repeated = 0

    @property
    def rejected(self) -> tuple[Piece, ...]:
        """The last rejected candidates, at most `KEPT`, oldest first."""
        return tuple(self._ear.rejected)

    @property
    def figures(self) -> Figures:
        """Counts since the start."""
        return Figures(
            frames=self._ear.frames,
            samples=self._samples,
            repeated=self._repeated,
            junk_bytes=self._ear.framer.junk_bytes,
            rejected=dict(self._ear.reasons),
        )

    def start(self) -> tuple[bytes, ...]:
        """Commands to send after the port was opened, in order. What was heard before is forgotten."""
        self._ear.framer = Framer(self._family, offset=self._end, junk_bytes=self._ear.framer.junk_bytes)
        self._marks.clear()
        return self._family.start

    def feed(self, data: bytes, t_mono_ns: int) -> tuple[Sample, ...]:
        """Samples of all frames completed by `data`, whose first byte arrived at `t_mono_ns`.

        A silence longer than the family's `gap_s` before it ends an unfinished frame. Acknowledgements that the
        device waits for are put into `replies`.
        """
        heard: list[Heard] = []
        if self._marks and t_mono_ns - self._last_ns > self._family.gap_s * 1e9:
            heard = self._ear.finish()
        self._marks.append((self._end, t_mono_ns))
        self._end += len(data)
        self._last_ns = t_mono_ns
        heard += self._ear.feed(data)
        samples = [sample for item in heard for sample in self._samples_of(item)]
        self._forget()
        self._samples += len(samples)
        return tuple(samples)

    def _samples_of(self, heard: Heard) -> list[Sample]:
        if heard.error is None and (reply := self._family.reply(heard.piece.data)):
            self.replies.append(reply)
        if not heard.facts:
            return []
        t_ns = self._arrival_ns(heard.piece.offset)
        made = []
        for facts in heard.facts:
            if facts.once and self.seen.get(facts.part) == brief(facts.once):
                self._repeated += 1
            elif (sample := self._rows.sample(facts, t_ns)) is not None:
                if facts.once:
                    remember(self.seen, facts.part, name=brief(facts.once))
                made.append(sample)
        return made

    def _arrival_ns(self, offset: int) -> int:
        """When the chunk arrived that the byte at `offset` came in; marks are in order of the stream."""
        for begin, t_ns in reversed(self._marks):
            if begin <= offset:
                return t_ns
        return self._last_ns

    def _forget(self) -> None:
        """Drop arrival times of bytes that are used up."""
        at = self._ear.framer.offset
        while self._marks and (self._marks[1][0] if len(self._marks) > 1 else self._end) <= at:
            del self._marks[0]
