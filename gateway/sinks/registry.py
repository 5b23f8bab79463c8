"""Which sink a config table means. Each kind is imported only when a config asks for it."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import Clock, SystemClock
from gateway.config import Sink as Options
from gateway.config.load import ConfigError, Loaded
from gateway.sinks import Sink, SinkDown, Site
from gateway.sinks.credentials import Files


def make_sink(
    name: str, config: Options, *, site: Site, loaded: Loaded | None = None, clock: Clock | None = None
) -> Sink:
    """The sink `[sink.name]`. `loaded` resolves and guards its files; `clock` dates its births.

    Raises:
        ValueError: an option does not fit (`check` finds it first).
    """
    files = Files() if loaded is None else guarded(name, loaded)
    time = clock or SystemClock("kernel" if loaded is None else loaded.config.clock.trust)
    if config.kind in {"mqtt", "sparkplug"}:
        return _broker(name, config, site=site, files=files, clock=time, loaded=loaded)
    if config.kind == "influxdb":
        from gateway.sinks.influx import InfluxSink

        return InfluxSink(name, config=config, site=site, files=files)
    if config.kind == "ngsi-ld":
        from gateway.sinks.ngsi_sink import NgsiSink

        return NgsiSink(name, config=config, site=site, files=files)
    if config.kind == "file":
        return _file(name, config, site)
    if config.kind == "memory":
        from gateway.sinks.memory import MemorySink

        return MemorySink()
    raise ValueError(f"sink.{name}: no sink of kind {config.kind!r} is built in")


def _broker(name: str, config: Options, *, site: Site, files: Files, clock: Clock, loaded: Loaded | None) -> Sink:
    """The sinks that speak MQTT: paho is imported only where there is one."""
    if config.kind == "mqtt":
        from gateway.sinks.mqtt import MqttSink

        return MqttSink(name, config=config, site=site, clock=clock, files=files)
    from gateway.sinks.sparkplug import SparkplugSink

    memory = None if loaded is None else Path(loaded.config.gateway.state_dir) / f"sparkplug-{name}.count"
    return SparkplugSink(name, config=config, site=site, clock=clock, files=files, memory=memory)


def _file(name: str, config: Options, site: Site) -> Sink:
    if config.format == "prometheus":
        from gateway.sinks.textfile import TextfileSink

        return TextfileSink(name, config=config, site=site)
    from gateway.sinks.file import FileSink

    return FileSink(name, config=config, site=site)


def guarded(name: str, loaded: Loaded) -> Files:
    """The loader's own rules for files: credentials directory first, then beside the config, modes checked."""

    def place(text: str, key: str) -> Path:
        return loaded.file(text, f"sink.{name}.{key}")

    def reveal(text: str, key: str) -> str:
        try:
            return loaded.secret(text, f"sink.{name}.{key}")
        except ConfigError as error:
            raise SinkDown(f"sink.{name}.{key}: {error}", code="CG-SNK-01") from None

    return Files(place=place, reveal=reveal)
