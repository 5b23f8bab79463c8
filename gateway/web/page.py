"""The page as the server writes it: complete without JavaScript (a table), the frame that the script takes over.

Every text that comes from a device, a config or a broker goes through `html.escape`; there is no other way into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from gateway.web.labels import times_ms
from gateway.web.picture import Device, Picture, ahead
from gateway.web.texts import LANGUAGES, say

STALE_AFTER: Final = 3
ROWS_MAX: Final = 1000
KINDS: Final = ("air", "traffic", "energy", "water", "weather", "noise")


def language(asked: str | None, accepted: str) -> str:
    """`en` or `th`: as asked, else as the browser prefers."""
    if asked in LANGUAGES:
        return str(asked)
    first = accepted.split(",", maxsplit=1)[0].strip().lower()
    return "th" if first.startswith("th") else "en"


def stale(device: Device, now_ms: int) -> bool:
    """Whether its newest record is older than three of its intervals, or from the future: no value of now.

    Event streams have no interval and do not age.
    """
    if "t" in device.now and ahead(device, device.now["t"], now_ms=now_ms):
        return True
    every_s = max(float(device.about.get("every_s") or 0.0), float(device.now.get("step") or 0.0))
    if not every_s or "t" not in device.now:  # an interval under a second counts as one: nothing is shown more often
        return False
    return now_ms - times_ms(device.now["t"]) > STALE_AFTER * max(every_s, 1.0) * 1000


def front(picture: Picture, *, lang: str, now_ms: int, chart: bool, grafana: str = "") -> str:
    """The whole document. `chart`: the chart library is packed in. `grafana`: address of the city's Grafana."""
    title = escape(say("title", lang))
    other = "en" if lang == "th" else "th"
    library = '<link rel="stylesheet" href="/static/uplot.css">' if chart else ""
    return f"""<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="citygate-chart" content="{"yes" if chart else "no"}">
{f'<meta name="citygate-grafana" content="{escape(grafana)}">' if grafana else ""}
<noscript><meta http-equiv="refresh" content="10"></noscript>
<title>{title}</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/app.css">{library}
<script type="module" src="/static/app.js"></script>
</head>
<body>
<a class="skip" href="#main">{escape(say("skip", lang))}</a>
<header id="head">
<h1>{title}</h1>
<p class="noscript"><a href="/?lang={other}" hreflang="{other}" lang="{other}">{escape(say("language", lang))}</a></p>
</header>
<main id="main" tabindex="-1">
<noscript><p>{escape(say("noscript", lang))}</p></noscript>
{"".join(_alarms(picture, lang))}
<div class="scroll" tabindex="0" role="region" aria-label="{escape(say("device", lang))}">
<table class="plain">
<thead><tr>{"".join(f'<th scope="col">{escape(say(key, lang))}</th>' for key in _HEAD)}</tr></thead>
<tbody>{"".join(_rows(picture, lang, now_ms))}</tbody>
</table>
</div>
</main>
</body>
</html>
"""


_HEAD: Final = ("device", "kind", "value", "quality", "ageword")


def _alarms(picture: Picture, lang: str) -> Iterator[str]:
    source = picture.source
    if not source["up"]:
        key = "source.down.broker" if source["kind"] == "broker" else "source.down"
        yield f'<p class="alarm">{escape(say(key, lang, t=source["since"] or "?"))}</p>'
    alarms = picture.alarms
    causes = {key: f"{alarm['gateway']}/{alarm.get('folded_into', '')}" for key, alarm in alarms.items()}
    followers = Counter(causes.values())
    for key, alarm in alarms.items():
        if causes[key] in alarms:  # it stands with its cause, as a number
            continue
        text = alarm.get("text", {})
        words = text.get(lang) or text.get("en") or alarm["code"]
        if followers[key]:
            words = f"{words}, {say('alarm.folded', lang, n=followers[key])}"
        yield f'<p class="alarm">{escape(str(alarm["code"]))} {escape(str(words))} ({escape(str(alarm["since"]))})</p>'


def _rows(picture: Picture, lang: str, now_ms: int) -> Iterator[str]:
    ordered = sorted(picture.devices.values(), key=lambda one: not _bad(one, now_ms))
    for device in ordered[:ROWS_MAX]:
        about, now = device.about, device.now
        old = stale(device, now_ms)
        failed = now.get("state") == "failed"
        held = (device.good if failed else now).get("v", {})
        values = "; ".join(_value(picture, point, held[point], lang) for point in about["lead"] if point in held)
        since = (device.good if failed else now).get("t")  # a failed device is as old as its last value
        age_s = "" if since is None else say("unit.s", lang, n=max(0, round((now_ms - times_ms(since)) / 1000)))
        if failed or old or not values:
            last = f" ({say('last.was', lang, v=values)})" if values else ""
            words = say("no.data", lang, age=age_s) if age_s else say("no.data.yet", lang)
            if old and ahead(device, now["t"], now_ms=now_ms):
                words = say("ahead", lang)
            values = words + last
        doubts = ", ".join(f"{point}: {text}" for point, text in now.get("q", {}).items())
        doubts = say("q.stale", lang) if old and not failed else doubts
        quality = doubts or (say("q.good", lang) if now.get("v") else "")
        cells = (_label(device, lang), say(f"tab.{about.get('kind', '')}", lang), values, quality, age_s)
        mark = ' class="stale"' if old or _bad(device, now_ms) else ""
        yield f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _bad(device: Device, now_ms: int) -> bool:
    return device.now.get("state") != "ok" or stale(device, now_ms)


def _label(device: Device, lang: str) -> str:
    about = device.about
    name = about.get("name") or {}
    words = str(name.get(lang) or name.get("en") or about["id"])
    lane = (about.get("lane") or {}).get("name") or {}
    place = lane.get(lang) or lane.get("en")
    return f"{words}, {place}" if place else words


def _value(picture: Picture, point: str, value: Any, lang: str) -> str:
    facts = picture.points.get(point, {})
    number = f"{value:.{facts.get('digits', 2)}f}" if isinstance(value, int | float) else str(value)
    return f"{facts.get(lang, point)} {number} {facts.get('unit', '')}"
