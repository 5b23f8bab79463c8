"""The command `citygate`."""


def main() -> None:
    """Entry point."""
