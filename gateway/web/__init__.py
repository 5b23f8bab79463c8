"""The live page: a process of its own that shows one gateway (local socket) or a whole city (MQTT broker).

source -> `picture` (one JSON contract for both) -> `stream` (SSE: snapshot, deltas) -> `app` behind `guard`.
Nothing here imports the daemon, numpy or a driver's wire.
"""
