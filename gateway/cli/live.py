"""`citygate live`: the live page, of this gateway or of a whole city from its broker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.web.serve import Listen
    from gateway.web.source import Source


@click.command("live")
@click.argument("what", required=False, type=click.Choice(["code"]), metavar="[code]")
@click.option("--broker", metavar="URL", help="Show the whole city from this broker: mqtts://USER@HOST[:PORT].")
@click.option("--prefix", default="citygate", show_default=True, help="First level of the city's topics.")
@click.option("--city", default="+", metavar="CITY", help="Show this city of the broker alone.")
@click.option("--broker-password-file", type=click.Path(path_type=Path), help="Password of USER, 0600.")
@click.option("--broker-ca", type=click.Path(path_type=Path), help="CA that signed the broker's certificate.")
@click.option("--history", "database_url", metavar="URL", help="Look back in this InfluxDB: http[s]://HOST[:PORT].")
@click.option("--history-api", type=click.Choice(["v1", "v2"]), default="v1", show_default=True, help="Its API.")
@click.option("--history-name", default="citygate", show_default=True, help="Its database (v1) or bucket (v2).")
@click.option("--history-org", default="", help="Its organisation (v2).")
@click.option(
    "--history-secret-file", type=click.Path(path_type=Path), help="user:password (v1) or the token (v2), 0600."
)
@click.option("--history-ca", type=click.Path(path_type=Path), help="CA that signed its certificate.")
@click.option("--outline", type=click.Path(path_type=Path), help="The city's outline for the map, GeoJSON.")
@click.option("--grafana", default="", metavar="URL", help="The city's Grafana, for links to its dashboards.")
@click.option("--bind", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS:PORT", help="Where to listen.")
@click.option("--host", "hosts", multiple=True, help="A further host name that the page is called by.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate chain, PEM.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--password-file", type=click.Path(path_type=Path), help="One line user:password, 0600.")
@click.pass_obj
def command(face: Face, /, **given: Any) -> int:
    """Serve the live page until Ctrl-C or SIGTERM; `live code` prints the one-time code that opens its setup.

    Beyond loopback it needs a certificate and a password file, or it does not start (exit 78).
    """
    return _code(face) if given["what"] == "code" else _serve(face, given)


def _serve(face: Face, given: Mapping[str, Any]) -> int:
    """The page, until the end."""
    import asyncio

    try:
        from gateway.web.serve import serve
    except ImportError as error:
        return _refuse(face, "CG-WEB-02", str(error), exit_code=69)
    try:
        listen = _listen(given)
        source = _source(face, given)
    except (ValueError, OSError) as error:
        return _refuse(face, "CG-WEB-01", str(error), exit_code=78)
    except ImportError as error:
        return _refuse(face, "CG-WEB-02", str(error), exit_code=69)
    faults = listen.faults()
    if faults:
        return _refuse(face, "CG-WEB-01", f"{listen.address} needs " + " and ".join(faults), exit_code=78)
    shown = f"[{listen.address}]" if ":" in listen.address else listen.address
    face.talk(f"{'https' if listen.certificate else 'http'}://{shown}:{listen.port}")
    try:
        asyncio.run(serve(source, listen))
    except OSError:  # the address is taken, or not ours
        return _refuse(face, "CG-WEB-03", str(given["bind"]), exit_code=69)
    except KeyboardInterrupt:
        pass
    return 0


def _code(face: Face) -> int:
    """A code for the page's setup, from the daemon of this machine."""
    from gateway.cli.socket import ask

    answer = ask(face, {"ask": "live-code"})
    if face.json:
        face.emit({"schema": 1, **answer})
        return 0
    face.data(answer["code"])
    minutes = answer["for_s"] / 60
    face.talk(
        face.pick(
            f"type it into the page within {minutes:.0f} minutes; it works once",
            f"ใส่รหัสนี้ในหน้าเว็บภายใน {minutes:.0f} นาที ใช้ได้ครั้งเดียว",
        )
    )
    return 0


def _refuse(face: Face, code: str, seen: str, *, exit_code: int) -> int:
    from gateway.catalogue import Fault

    face.faults([Fault(code, seen=seen)])
    return exit_code


def _listen(given: Mapping[str, Any]) -> Listen:
    from gateway.web.app import Extras
    from gateway.web.outline import outline
    from gateway.web.serve import Listen, secret_of

    address, colon, port = str(given["bind"]).rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--bind {given['bind']!r} is not ADDRESS:PORT")
    secret = b"" if given["password_file"] is None else secret_of(given["password_file"])
    hosts = tuple(given["hosts"])
    rings = () if given["outline"] is None else tuple(outline(given["outline"]))
    grafana = str(given["grafana"]).rstrip("/")
    if grafana and not grafana.startswith(("https://", "http://")):
        raise ValueError(f"--grafana {grafana!r} is no http(s) address")
    return Listen(
        address.strip("[]"), int(port), hosts, given["certificate"], given["key"], secret, Extras(rings, grafana)
    )


def _source(face: Face, given: Mapping[str, Any]) -> Source:
    live = _live(face, given)
    if given["database_url"] is None:
        return live
    from gateway.web.database import Database, FromDatabase

    facts = {key: given[f"history_{key}"] for key in ("api", "name", "org")}
    files = {"secret_file": given["history_secret_file"], "ca_file": given["history_ca"]}
    return FromDatabase(live, Database.of(given["database_url"], **facts, **files))


def _live(face: Face, given: Mapping[str, Any]) -> Source:
    from gateway.clock import SystemClock

    clock = SystemClock("system")
    if given["broker"] is None:
        from gateway.cli.socket import path
        from gateway.web.local_source import LocalSource

        return LocalSource(path(face), clock=clock)
    from gateway.web.broker_source import BrokerSource, Door

    door = Door.of(given["broker"], password_file=given["broker_password_file"], ca_file=given["broker_ca"])
    return BrokerSource(door, prefix=given["prefix"], clock=clock, city=_city(given["city"]))


def _city(name: str) -> str:
    """The city's level in the topics: its id, or "+" for all."""
    from gateway.web.broker_source import ID

    if name != "+" and not ID.fullmatch(name):
        raise ValueError(f"--city {name!r} is no id")
    return name
