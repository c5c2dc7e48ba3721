"""`stepscan`, and `python -m stepscan`: an interrupt ends it in words, in the first moments too."""

import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from stepscan.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
