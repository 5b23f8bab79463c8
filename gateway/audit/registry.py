"""Which reader a sink's config means. Asks the server what it is: VictoriaMetrics speaks the API of InfluxDB."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from gateway.audit import Reader, Unreadable
from gateway.audit.asking import Asked
from gateway.audit.files import Files as FileReader
from gateway.audit.lines import Lines
from gateway.config import Sink as Options
from gateway.sinks import SinkDown, Site
from gateway.sinks.credentials import Credentials, Files, read

NO_WAY_BACK: Final = "CG-AUD-02"


def make_reader(config: Options, *, site: Site, files: Files) -> Reader:
    """The reader of this sink's peer. Blocking.

    Raises:
        Unreadable: the peer cannot be asked, or is of a kind that cannot be read back (CG-AUD-02).
    """
    lines = Lines(site, points=config.points, rev_tag=config.rev_tag)
    if config.kind == "file" and config.format != "prometheus" and config.path is not None:
        return FileReader(Path(config.path), form=config.format, points=config.points, lines=lines)
    if config.kind != "influxdb":
        raise Unreadable(f"a sink of kind {config.kind} cannot be read back", code=NO_WAY_BACK)
    last = Unreadable("no url is configured")
    for url in config.urls:
        try:
            return _database(config, url, lines=lines, site=site, files=files)
        except Unreadable as error:
            last = error
    raise last


def _database(config: Options, url: str, *, lines: Lines, site: Site, files: Files) -> Reader:
    try:
        card = read(config, files, tls=url.startswith("https:"))
    except SinkDown as down:
        raise Unreadable(str(down), code=down.code) from None
    asked = Asked(url, headers=_headers(config, card), tls=card.tls)
    status, body = asked.ask("GET", "/metrics")
    if status == 200 and b"vm_app_version" in body:
        from gateway.audit.victoria import Victoria

        return Victoria(asked, lines=lines, site=site)
    if config.api == "v2":
        from gateway.audit.flux import Flux

        ca_file = None if config.ca_file is None else str(files.place(config.ca_file, "ca_file"))
        return Flux(
            url, card, org=config.org or "", bucket=config.bucket or "", lines=lines, site=site, ca_file=ca_file
        )  # fmt: skip
    from gateway.audit.influxql import InfluxQl

    return InfluxQl(asked, database=config.database or config.bucket or "", lines=lines, site=site)


def _headers(config: Options, card: Credentials) -> dict[str, str]:
    if card.secret is None:
        return {}
    if config.token_file is None:
        return {"Authorization": "Basic " + base64.b64encode(f"{card.username or ''}:{card.secret}".encode()).decode()}
    return {"Authorization": f"{'Token' if config.api == 'v2' else 'Bearer'} {card.secret}"}
