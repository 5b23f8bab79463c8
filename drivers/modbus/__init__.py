"""Modbus: envelope, plan, decode, and the master that owns the transactions."""
