"""Link quality and the search for causes behind `citygate read`: a burst of reads on the device's wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway.catalogue.fault import Fault
from gateway.cli.face import Face
from gateway.cli.loan import borrowed
from gateway.cli.target import target

if TYPE_CHECKING:
    from drivers.link import Link
    from drivers.profile import Profile
    from gateway.config.load import Loaded
    from gateway.technician.burst import Burst

TIMEOUT_S: Final = 1.0
FAIR_PERCENT: Final = 5.0


def look(face: Face, loaded: Loaded, *, device: str, reads: int, doubtful: bool) -> tuple[Burst, list[Fault]]:
    """Read one block of DEVICE `reads` times; where its values are doubtful, its registers and their neighbours too.

    Raises:
        Trouble: the daemon does not lend the wire (exit 75).
        LinkError: it cannot be opened.
    """
    configured = loaded.config.device[device]
    wire = target(face, configured.bus)
    return borrowed(face, wire, work=lambda: _look(loaded, device, reads=reads, doubtful=doubtful))


async def _look(loaded: Loaded, device: str, *, reads: int, doubtful: bool) -> tuple[Burst, list[Fault]]:
    from drivers.modbus.envelope import build
    from gateway.cli.probe import blocks_of, spans
    from gateway.technician.burst import burst, faults
    from gateway.technician.neighbours import faults as map_faults
    from gateway.technician.neighbours import registers

    profile, configured = loaded.profiles[device], loaded.config.device[device]
    link, framing, char_s = _link(loaded, device, profile)
    table, address, count = next(spans(profile, margin=0))
    request = build(configured.unit or 1, table, address=address, count=count)
    await link.open()
    try:
        found = await burst(link, request, framing=framing, reads=reads, timeout_s=TIMEOUT_S, char_s=char_s)
    finally:
        await link.close()
    bus = loaded.config.bus[configured.bus]
    endpoint = f"{bus.host}:{bus.port}" if bus.kind == "tcp" else str(bus.port)
    told = faults(found, endpoint=endpoint, device=device, line=bus.line or bus.framing)
    if doubtful and found.good:
        told += map_faults(registers(await blocks_of(loaded, device)), profile.rows, device=device)
    return found, told


def _link(loaded: Loaded, device: str, profile: Profile) -> tuple[Link, str, float]:
    """A closed link to the device's wire, its framing, and the time of a character on it."""
    from drivers.line import line
    from drivers.link import SerialLink, TcpLink

    bus = loaded.config.bus[loaded.config.device[device].bus]
    if bus.kind == "tcp":
        return TcpLink(str(bus.host), int(bus.port or 502)), bus.framing, 0.0
    settings = line(bus.line or profile.wire.lines[0])
    return SerialLink(str(bus.port), settings), "rtu", settings.char_s


def tell(face: Face, found: Burst) -> None:
    """The figures as one line."""
    row = found.row()
    spoilt = found.reads - found.good
    share = 100 * spoilt / found.reads if found.reads else 100.0
    verdict = {"good": "ดี", "fair": "พอใช้", "poor": "ไม่ดี", "dead": "ไม่ตอบ"}[found.verdict]
    face.prose(
        face.pick(
            f"link: {found.reads} reads, {share:.1f} % failed, {row['p50_ms']:g} ms median, "
            f"{row['p95_ms']:g} ms p95 -> {found.verdict}",
            f"คุณภาพสาย: อ่าน {found.reads} ครั้ง เสีย {share:.1f} % มัธยฐาน {row['p50_ms']:g} ms "
            f"p95 {row['p95_ms']:g} ms -> {verdict}",
        )
    )


def counted(snapshot: Mapping[str, Any], *, bus: str, device: str) -> dict[str, Any]:
    """What a running daemon has counted for the device on its wire; {} where it tells nothing."""
    wire = snapshot.get("buses", {}).get(bus, {})
    each: Mapping[str, Any] = wire.get("devices", {}).get(device, {})
    return {key: value for key, value in each.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def tell_counted(face: Face, figures: Mapping[str, Any]) -> None:
    """The daemon's counters as one line: polls, failures, reply times."""
    if not figures.get("polls"):
        return
    polls, failed = figures["polls"], figures.get("failed", 0)
    p50, p95 = (1e3 * figures.get(f"reply_{name}_s", 0.0) for name in ("p50", "p95"))
    face.prose(
        face.pick(
            f"link: {polls} polls since the start, {100 * failed / polls:.1f} % failed, "
            f"{p50:.0f} ms median, {p95:.0f} ms p95",
            f"คุณภาพสาย: อ่าน {polls} ครั้งตั้งแต่เริ่ม เสีย {100 * failed / polls:.1f} % มัธยฐาน {p50:.0f} ms p95 {p95:.0f} ms",
        )
    )


def missing(records: Sequence[Mapping[str, Any]], wanted: Sequence[str], *, device: str) -> list[Fault]:
    """Lanes or channels that sent nothing while others of the same device did."""
    absent = sorted(set(wanted) - {record["device"] for record in records})
    return [Fault("CG-LNK-17", {"device": device}, seen=", ".join(absent))] if absent and records else []


def of_stream(heard: Mapping[str, int], *, device: str, endpoint: str) -> list[Fault]:
    """What the bytes of a stream device say: nothing came, or frames that do not hold, or no frame at all."""
    if not heard:
        return []
    frames, rejected, junk_bytes = heard["frames"], heard["rejected"], heard["junk_bytes"]
    if not frames + rejected + junk_bytes:
        return [Fault("CG-BUS-15", {"endpoint": endpoint}, seen="0 bytes")]
    if not rejected and frames:
        return []
    share = 100 * rejected / (frames + rejected) if frames + rejected else 100
    seen = f"{frames} whole frames, {rejected} rejected, {junk_bytes} bytes of neither"
    return [Fault("CG-LNK-18", {"device": device, "share": f"{share:.0f}"}, seen=seen, warning=share <= FAIR_PERCENT)]
