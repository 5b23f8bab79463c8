"""`python -m firmware_sims city|device|broker|score`: the demo city, one device, an MQTT broker, a gateway's score."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from firmware_sims.broker import Broker
from firmware_sims.city import City
from firmware_sims.control import Told, follow, obey, say, scenario
from firmware_sims.database import Database
from firmware_sims.faults import NAMES
from firmware_sims.quirks import NAMES as QUIRKS
from firmware_sims.score import WINDOW_S, lines, score
from firmware_sims.single import DEVICES, run_device
from firmware_sims.truth import Truth


async def run_city(options: argparse.Namespace) -> None:
    """Run the city; one JSON line on stdout when every port is there."""
    told = Told()
    orders = scenario(options.scenario) if options.scenario is not None else []
    async with AsyncExitStack() as stack:
        truth = await stack.enter_async_context(Truth(options.truth))
        city = City(options.dir, truth, seed=options.seed, tcp_port=options.tcp)
        platform = await _platform(city, options, stack=stack)
        await stack.enter_async_context(city)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        say({"ready": True, "ports": city.ports, "tcp": city.tcp} | platform)
        play = tasks.create_task(follow(city, orders), name="scenario")
        await told.to_end(seconds=options.seconds, order=partial(obey, city))
        play.cancel()


async def _platform(city: City, options: argparse.Namespace, *, stack: AsyncExitStack) -> dict[str, object]:
    """The city's own broker and database, where they were asked for, and their ports for the ready line."""
    ports: dict[str, object] = {}
    if options.broker is not None:
        city.broker = await stack.enter_async_context(Broker(port=options.broker))
        ports["broker"] = city.broker.port
    if options.database is not None:
        city.database = await stack.enter_async_context(Database(port=options.database))
        ports["database"] = city.database.port
    return ports


async def run_broker(port: int, *, seconds: float | None) -> None:
    """Run the broker on the loopback."""
    told = Told()
    async with Broker(port=port) as broker:
        say({"ready": True, "port": broker.port})
        await told.to_end(seconds=seconds)


def judge(options: argparse.Namespace) -> int:
    """Print the figures of each device and of all; 1 where a value was wrong or stale, or a record doubled."""
    found = score(lines(options.truth), lines(options.records), window_s=options.within)
    say({"devices": {name: figures for name, figures in found.items() if name}, "all": found[""]})
    return 1 if any(found[""][key] for key in ("wrong", "stale", "doubled")) else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_sims", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    city = verbs.add_parser("city", help="the demo city on ptys and one TCP port")
    city.add_argument("--dir", type=Path, required=True, help="where the symlinks of the ports go")
    city.add_argument("--tcp", type=int, default=0, help="Modbus TCP port (0 = a free one)")
    city.add_argument("--scenario", type=Path, help="control lines with `at` (s), obeyed at their times")
    city.add_argument("--broker", type=int, help="port of a simulated MQTT broker (0 = a free one)")
    city.add_argument("--database", type=int, help="port of a simulated InfluxDB (0 = a free one)")
    device = verbs.add_parser("device", help="one simulated device")
    device.add_argument("name", choices=sorted(DEVICES))
    device.add_argument("--port-link", type=Path, help="symlink to the pty (else one in /tmp)")
    device.add_argument("--tcp", type=int, help="serve it on this loopback TCP port instead (0 = a free one)")
    device.add_argument("--line", help="line setting, for example '9600 8N1'")
    device.add_argument("--unit", type=int, default=None, help="Modbus unit or sensor id")
    device.add_argument("--fault", action="append", default=[], choices=NAMES, help="a fault from the start; repeat")
    device.add_argument("--quirk", action="append", default=[], choices=QUIRKS, help="a quirk of the sensor; repeat")
    device.add_argument("--rate", type=float, default=1.0, help="share of answers that the faults strike")
    device.add_argument("--delay", type=float, default=0.0, help="delay of late answers, s")
    broker = verbs.add_parser("broker", help="a small MQTT broker for demos and fault tests")
    broker.add_argument("--port", type=int, default=0)
    judged = verbs.add_parser("score", help="records of a gateway against the ground truth; 1 where any is wrong")
    judged.add_argument("truth", type=Path, help="the file that --truth wrote")
    judged.add_argument("records", type=Path, help="the JSON lines of a file sink, with the stream raw")
    judged.add_argument(
        "--within", type=float, default=WINDOW_S, help="how far apart a record and its answer may be, s"
    )
    for verb in (city, device):
        verb.add_argument("--truth", type=Path, help="ground truth, JSON lines")
        verb.add_argument("--seed", type=int, default=1)
    for verb in (city, device, broker):
        verb.add_argument("--seconds", type=float, help="end by itself after this time")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one verb until it is told to stop."""
    options = _arguments().parse_args(arguments)
    if options.verb == "score":
        return judge(options)
    if options.verb == "city":
        asyncio.run(run_city(options))
    elif options.verb == "device":
        if options.port_link is not None and options.tcp is not None:
            sys.stderr.write("give --port-link or --tcp, not both\n")
            return 2
        asyncio.run(run_device(options))
    else:
        asyncio.run(run_broker(options.port, seconds=options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
