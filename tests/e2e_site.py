"""A whole site as real processes: simulated city, broker, database, daemon; and readers of what arrived."""

import asyncio
import json
import os
import queue
import signal
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from parts import Influx1, Mosquitto, poll

from gateway.archive import open_archive
from gateway.codec import EVENT, RAW, WINDOW, Codec
from gateway.demo.servers import start_city, start_daemon
from gateway.demo.site import Database, gateway_toml
from gateway.local import ask
from gateway.sinks.payload import Payload

DEEP_QUEUE = ("max_queued_messages 200000", "max_inflight_messages 200", "set_tcp_nodelay true")


class Subscriber:
    """A city platform: a persistent MQTT 5 session that keeps every message, through broker restarts."""

    def __init__(self, port, topic="citygate/#"):
        self.messages = queue.SimpleQueue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="platform", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.messages.put(
            (message.topic, message.payload, message.retain)
        )
        properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", port, keepalive=10, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def taken(self):
        found = []
        while not self.messages.empty():
            found.append(self.messages.get())
        return found


class RunningSite:
    """`async`-free: start(), kill(), drain(), stop(); folder holds config, state and truth."""

    def __init__(self, folder, *, windows='["5s", "1m"]'):
        self.folder = Path(folder)
        self.broker = Mosquitto(persistence=True, extra=DEEP_QUEUE)
        self.database = Influx1()
        self.city = self.daemon = self.subscriber = None
        self.windows = windows

    def __enter__(self):
        self.broker.__enter__()
        self.database.__enter__()
        (self.folder / "etc").mkdir(parents=True)
        (self.folder / "state").mkdir()
        self.city, ready = start_city(self.folder)
        self.subscriber = Subscriber(self.broker.port)
        where = Database("influx", f"http://127.0.0.1:{self.database.port}", "v1")
        text = gateway_toml(self.folder, broker_url=self.broker.url, database=where, tcp=ready["tcp"])
        text = text.replace('database = "citygate"', f'database = "{self.database.database}"')
        text = text.replace('lengths = ["5s", "1m", "15m", "1h"]', f"lengths = {self.windows}")
        text = text.replace('"15m", "1h", ', "")
        (self.folder / "etc" / "gateway.toml").write_text(text)
        return self

    def __exit__(self, *_):
        for child in (self.daemon, self.city):
            if child is not None:
                child.stop()
        if self.subscriber is not None:
            self.subscriber.close()
        self.broker.__exit__()
        self.database.__exit__()

    def start(self):
        self.daemon = start_daemon(self.folder, self.folder / "etc" / "gateway.toml")

    def kill(self):
        os.kill(self.daemon.process.pid, signal.SIGKILL)
        self.daemon.process.wait(10)
        self.daemon = None

    def ask(self, request, timeout_s=20.0):
        return asyncio.run(ask(self.folder / "state" / "citygate.sock", request, timeout_s=timeout_s))

    def settle(self, deadline_s=60.0):
        """Polling stops; every sink has everything."""

        def done():
            sinks = self.ask({"ask": "drain"})["sinks"]
            return all(sink["waiting"] == 0 for sink in sinks.values()) and sinks

        return poll(done, deadline_s=deadline_s, what="sinks drained")

    def stop(self):
        code = self.daemon.stop()
        self.daemon = None
        return code

    def journaled(self):
        """Every committed record of raw, windows and events, in order."""
        journal = open_archive(self.folder / "state" / "journal")
        try:
            codec = Codec(journal.marks)
            found, at = [], journal.first
            while entries := journal.read(at, limit_bytes=1 << 20):
                found += [codec.decode(e.kind, e.payload) for e in entries if e.kind in {RAW, WINDOW, EVENT}]
                at = entries[-1].position + 1
            return found
        finally:
            asyncio.run(journal.close())

    def received(self, wanted, deadline_s=30.0):
        """Messages at the platform, until `wanted(messages)` or the deadline."""
        found = []

        def enough():
            found.extend(self.subscriber.taken())
            return wanted(found)

        poll(enough, deadline_s=deadline_s, what="messages at the platform")
        return found

    def truth(self):
        return [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]


def identity(record):
    return record.device, record.stream, record.t_ms, record.rev


def topic_of(record):
    base = "citygate/khon-kaen/demo-001"
    return f"{base}/event" if record.device == "_gateway" else f"{base}/{record.device}/{record.stream}"


__all__ = ["Payload", "RunningSite", "Subscriber", "identity", "time", "topic_of"]
