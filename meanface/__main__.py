"""The command `meanface`: which version is installed."""

import argparse

from meanface import __version__


def main() -> None:
    """Run the command line; `--version` prints and exits."""
    parser = argparse.ArgumentParser(prog="meanface", description=__doc__)
    parser.add_argument("--version", action="version", version=f"meanface {__version__}")
    parser.parse_args()
    parser.print_help()


if __name__ == "__main__":
    main()
