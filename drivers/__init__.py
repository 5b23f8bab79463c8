"""Wire to Sample: bytes, links, framers, the Modbus master, device profiles and decoders.

Knows nothing of wall time, config files, sinks or `gateway`.
"""
