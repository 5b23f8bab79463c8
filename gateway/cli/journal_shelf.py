"""What the verbs under `journal` share: the journal opened to look, also beside the daemon; times; the sinks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.catalogue.fault import EXIT_NO_INPUT, EXIT_USAGE, Fault, Trouble

if TYPE_CHECKING:
    from gateway.audit.expected import Shelf
    from gateway.config.load import Loaded
    from gateway.selection import Selection
    from gateway.sinks import Site

FOREVER_MS = 1 << 62


@contextmanager
def opened(loaded: Loaded) -> Iterator[Shelf]:
    """The journal as it stood at this moment; it is not locked and not changed, so the daemon may run.

    Raises:
        Trouble: there is no journal.
    """
    import asyncio

    from gateway.archive import look
    from gateway.audit.expected import Shelf
    from gateway.schemas import codec_of

    folder = Path(loaded.config.gateway.state_dir) / "journal"
    try:
        journal = look(folder)
    except FileNotFoundError:
        raise Trouble([Fault("CG-SYS-06", {"path": str(folder)})], exit_code=EXIT_NO_INPUT) from None
    try:
        yield Shelf(journal, codec_of(journal))
    finally:
        asyncio.run(journal.close())


def ms(text: str | None, otherwise: int) -> int:
    """A time of the command line as UTC ms. Raises `Trouble`."""
    if text is None:
        return otherwise
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble([Fault("CG-SYS-11", {"value": text})], exit_code=EXIT_USAGE) from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def known(loaded: Loaded, sink: str) -> Any:
    """The config of a sink. Raises `Trouble` where there is none of that name."""
    from gateway.config.shape import nearest

    found = loaded.config.sink.get(sink)
    if found is None:
        meant = nearest(sink, list(loaded.config.sink)) or ""
        raise Trouble([Fault("CG-AUD-03", {"sink": sink}, nearest=meant)], exit_code=EXIT_USAGE)
    return found


def site(loaded: Loaded) -> Site:
    """Where the gateway stands, with the series of the present config."""
    from gateway.inventory import inventory
    from gateway.sinks import Site

    gateway = loaded.config.gateway
    items = inventory(loaded.config, profiles_dir=loaded.profiles_dir)
    series = tuple(one for item in items for one in item.series.values())
    return Site(gateway.city, gateway.id, "", "", "", loaded.hash, gateway.name, None, series)


def selection(loaded: Loaded, sink: str) -> Selection:
    """What a sink selects, as the daemon has it."""
    from gateway.inventory import inventory, personal_ids
    from gateway.selection import Selection

    items = inventory(loaded.config, profiles_dir=loaded.profiles_dir)
    return Selection(known(loaded, sink), personal=personal_ids(items))
