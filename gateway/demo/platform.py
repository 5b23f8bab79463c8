"""The demo's city platform: a subscriber that hears everything the gateway publishes, and counts it."""

from __future__ import annotations

import threading
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

READY_S: Final = 5.0


class Platform:
    """Connects, subscribes to `citygate/#` at QoS 1, counts messages; reconnects by itself."""

    def __init__(self, url: str) -> None:
        self.messages = 0
        where = urlsplit(url)
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._heard
        self._client.connect(str(where.hostname), where.port or 1883)
        self._client.loop_start()
        self._subscribed.wait(READY_S)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("citygate/#", qos=1)

    def _heard(self, *_: Any) -> None:
        self.messages += 1

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
