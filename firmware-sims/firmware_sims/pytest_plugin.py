"""pytest fixtures for tests against simulated sensors: `cg_device`, `cg_bus`, `cg_daemon` and their companions.

Loaded by pytest itself (entry point `pytest11`), therefore cheap to import: everything else comes with the first use.
Needs no broker, container or root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from firmware_sims.bench import Bench, Placed
    from firmware_sims.broker import Broker
    from firmware_sims.database import Database
    from firmware_sims.gateway_process import Gateway


@pytest.fixture
def cg_bench(tmp_path: Path) -> Iterator[Bench]:
    """The bench that all other fixtures of a test share."""
    from firmware_sims.bench import Bench  # noqa: PLC0415 - cheap to load

    ports = tmp_path / "cg-ports"
    ports.mkdir()
    with Bench(ports) as bench:
        yield bench


@pytest.fixture
def cg_device(cg_bench: Bench) -> Callable[..., Placed]:
    """`cg_device("eastron-sdm630", unit=1)`: a simulated device on a pty of its own; `tcp=True` on a loopback port."""
    return cg_bench.device


@pytest.fixture
def cg_bus(cg_bench: Bench) -> Callable[..., dict[int, Placed]]:
    """`cg_bus({1: "eastron-sdm630", 2: "eastron-sdm120"})`: Modbus units on an RTU line; `tcp=True`: on a TCP port."""
    return cg_bench.bus


@pytest.fixture
def cg_faults() -> Callable[..., None]:
    """`cg_faults(device, "late", delay_s=0.5)` switches a fault on; without a name, all of that device off."""

    def switch(device: Placed, fault: str | None = None, **options: Any) -> None:
        if fault is None:
            device.heal()
        else:
            device.strike(fault, **options)

    return switch


@pytest.fixture
def cg_clock() -> Callable[..., Any]:
    """`cg_clock(coroutine)` runs it on virtual time: hours of timers pass in an instant (no real ports inside)."""
    from firmware_sims.virtual_time import run  # noqa: PLC0415 - cheap to load

    return run


@pytest.fixture
def cg_broker(cg_bench: Bench) -> Broker:
    """A small MQTT broker (5.0 and 3.1.1); `messages` is what it accepted."""
    return cg_bench.broker()


@pytest.fixture
def cg_database(cg_bench: Bench) -> Database:
    """A small InfluxDB; `lines` is what it accepted."""
    return cg_bench.database()


@pytest.fixture
def cg_daemon(tmp_path: Path, cg_bench: Bench) -> Iterator[Callable[..., Gateway]]:
    """`cg_daemon(device, ...)` starts the real gateway on these devices and ends it behind the test.

    Options: `streams` (("raw", "event")), `every` ("1s"), `extra` (more TOML, a sink for example), `profiles` (texts of
    own profiles by name, put beside the config).
    """
    from firmware_sims.gateway_process import Gateway, config, lay  # noqa: PLC0415 - cheap to load

    del cg_bench  # only so that the daemon ends before its devices
    started: list[Gateway] = []

    def start(
        *devices: Placed | Mapping[int, Placed],
        streams: Sequence[str] = ("raw", "event"),
        every: str | None = None,
        extra: str = "",
        profiles: Mapping[str, str] | None = None,
    ) -> Gateway:
        flat = [each for entry in devices for each in (entry.values() if isinstance(entry, Mapping) else (entry,))]
        folder = tmp_path / f"cg-gateway-{len(started) + 1}"
        folder.mkdir()
        lay(profiles or {}, folder)
        started.append(Gateway(folder, config(flat, folder, streams=streams, every=every, extra=extra)))
        started[-1].start()
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()
