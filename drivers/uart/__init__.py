"""Stream devices: one short file of pure functions per family."""
