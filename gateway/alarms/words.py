"""Words: what an alarm says to people, in English and Thai, and the event that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.clock import rfc3339
from gateway.reading import Event

Text = Mapping[str, str]
LANGUAGES: Final = ("en", "th")
LIMIT, RATE, SILENT, DEMAND, CAUSE, EXPIRED, GONE = (f"CG-ALM-0{number}" for number in range(1, 8))
PHRASES: Final[Mapping[str, Text]] = {
    "above": {"en": "{what} is {value}, above {limit}", "th": "{what} เท่ากับ {value} สูงกว่า {limit}"},
    "below": {"en": "{what} is {value}, below {limit}", "th": "{what} เท่ากับ {value} ต่ำกว่า {limit}"},
    "rise": {
        "en": "{what} rose by {value} in {within}, more than {limit}",
        "th": "{what} เพิ่มขึ้น {value} ใน {within} เกิน {limit}",
    },
    "fall": {
        "en": "{what} fell by {value} in {within}, more than {limit}",
        "th": "{what} ลดลง {value} ใน {within} เกิน {limit}",
    },
    "demand": {
        "en": "the demand of this quarter of an hour will reach {value}, above {limit}",
        "th": "ความต้องการไฟฟ้าของ 15 นาทีนี้จะถึง {value} เกิน {limit}",
    },
    "back": {"en": "{what} is back at {value}", "th": "{what} กลับมาที่ {value}"},
    "ended": {"en": "the quarter of an hour is over", "th": "สิ้นสุดช่วง 15 นาทีแล้ว"},
    "silent": {"en": "no usable value for {value}", "th": "ไม่มีค่าที่ใช้ได้มา {value}"},
    "speaks": {"en": "it gives values again, after {value}", "th": "มีค่าอีกครั้ง หลังจาก {value}"},
    "none": {"en": "no device on it gives values", "th": "ไม่มีอุปกรณ์ใดให้ค่า"},
    "some": {"en": "devices on it give values again", "th": "มีอุปกรณ์ให้ค่าอีกครั้ง"},
    "expired": {"en": "the calibration of {what} expired on {value}", "th": "การปรับเทียบ {what} หมดอายุเมื่อ {value}"},
    "renewed": {"en": "the calibration of {what} is valid", "th": "การปรับเทียบ {what} ใช้ได้แล้ว"},
    "gone": {"en": "this alarm is not configured any more", "th": "สัญญาณเตือนนี้ไม่มีในคอนฟิกแล้ว"},
    "renamed": {"en": "this alarm goes on under another id", "th": "สัญญาณเตือนนี้ดำเนินต่อด้วยรหัสอื่น"},
    "still": {"en": "it stood when the gateway was started again", "th": "ยังเตือนอยู่เมื่อเกตเวย์เริ่มใหม่"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saying:
    """One change of one alarm. `level` 0 clears it; `phrase` is a key of `PHRASES`, `words` fill its braces."""

    ident: str
    device: str
    code: str
    level: int
    label: Text
    phrase: str
    words: Mapping[str, Text | str] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)
    since_ms: int = 0
    limit: float | None = None
    rule: str = ""


Tell = Callable[[Saying], None]


def alarm_id(rule: str, what: str) -> str:
    """The id of an alarm of a rule over a device or a cause: the same for raising and clearing, and of no other alarm.

    A dash of the rule's name stands twice. No id begins or ends with one, so the first that stands alone (or the odd
    one of a row) ends the rule: `a` over `b-c` is `alarm-a-b-c`, `a-b` over `c` is `alarm-a--b-c`.
    """
    return f"alarm-{rule.replace('-', '--')}-{what}"


def of_today(ident: str, rule: str) -> str:
    """The id that an alarm has today which an older version raised: there a dash of the rule stood once."""
    before = f"alarm-{rule}-"
    return alarm_id(rule, ident.removeprefix(before)) if ident.startswith(before) else ident


def event(saying: Saying, *, now_ms: int) -> Event:
    """The event record of contracts.md."""
    text = {}
    for lang in LANGUAGES:
        words = {key: word if isinstance(word, str) else pick(word, lang) for key, word in saying.words.items()}
        told = PHRASES[saying.phrase][lang].format(**words)
        text[lang] = f"{pick(saying.label, lang)}: {told}"
    body: dict[str, object] = dict(saying.body)
    if saying.limit is not None:
        body["limit"] = saying.limit
    body["since"] = rfc3339(saying.since_ms or now_ms)
    state = "raised" if saying.level else "cleared"
    level = saying.level or 1
    return Event(saying.device, now_ms, saying.ident, "alarm", saying.code, state, level, text, body)


def pick(text: Text, lang: str) -> str:
    """The text in a language, or in English, or in any."""
    return text.get(lang) or text.get("en") or next(iter(text.values()), "")


def number(value: float, unit: str) -> str:
    """A number for people: six digits, with its unit."""
    return f"{value:.6g}" + (f" {unit}" if unit not in {"", "1"} else "")


def span(seconds: float) -> str:
    """A duration for people, language-free: "45 s", "12 min", "3 h"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
