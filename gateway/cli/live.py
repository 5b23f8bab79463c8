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
@click.option("--broker", metavar="URL", help="Show the whole city from this broker: mqtts://USER@HOST[:PORT].")
@click.option("--prefix", default="citygate", show_default=True, help="First level of the city's topics.")
@click.option("--broker-password-file", type=click.Path(path_type=Path), help="Password of USER, 0600.")
@click.option("--broker-ca", type=click.Path(path_type=Path), help="CA that signed the broker's certificate.")
@click.option("--bind", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS:PORT", help="Where to listen.")
@click.option("--host", "hosts", multiple=True, help="A further host name that the page is called by.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate chain, PEM.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--password-file", type=click.Path(path_type=Path), help="One line user:password, 0600.")
@click.pass_obj
def command(face: Face, /, **given: Any) -> int:
    """Serve the live page until Ctrl-C or SIGTERM. Read-only.

    Beyond loopback it needs a certificate and a password file, or it does not start (exit 78).
    """
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
    except SystemExit:  # uvicorn ends so where the address is taken
        return _refuse(face, "CG-WEB-03", str(given["bind"]), exit_code=69)
    except KeyboardInterrupt:
        pass
    return 0


def _refuse(face: Face, code: str, seen: str, *, exit_code: int) -> int:
    from gateway.catalogue import Fault

    face.faults([Fault(code, seen=seen)])
    return exit_code


def _listen(given: Mapping[str, Any]) -> Listen:
    from gateway.web.serve import Listen, secret_of

    address, colon, port = str(given["bind"]).rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--bind {given['bind']!r} is not ADDRESS:PORT")
    secret = b"" if given["password_file"] is None else secret_of(given["password_file"])
    hosts = tuple(given["hosts"])
    return Listen(address.strip("[]"), int(port), hosts, given["certificate"], given["key"], secret)


def _source(face: Face, given: Mapping[str, Any]) -> Source:
    from gateway.clock import SystemClock

    clock = SystemClock("system")
    if given["broker"] is None:
        from gateway.cli.socket import path
        from gateway.web.local_source import LocalSource

        return LocalSource(path(face), clock=clock)
    from gateway.web.broker_source import BrokerSource, Door

    door = Door.of(given["broker"], password_file=given["broker_password_file"], ca_file=given["broker_ca"])
    return BrokerSource(door, prefix=given["prefix"], clock=clock)
