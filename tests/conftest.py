"""Fixtures that every part of the suite may ask for."""

from parts import certificates, influx1, mosquitto, victoria

__all__ = ["certificates", "influx1", "mosquitto", "victoria"]
