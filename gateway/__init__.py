"""Reading to delivery: poller, quality, windows, journal, shipper, sinks; and the faces that show them."""

__version__ = "0.1.0"
