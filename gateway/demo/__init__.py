"""The demo city: simulated devices, a real broker and database where there are any, and the real daemon."""
