"""The simulated firmware of citygate: byte-accurate devices, faults, a broker. Shares no code with the product."""
