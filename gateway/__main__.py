"""`python -m gateway` is `citygate`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
