"""`stepscan`, and `python -m stepscan`: an interrupt ends it in words, in the first moments too."""

import signal
import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from stepscan.cli import main as run

        try:
            run()
        finally:  # all is said: a signal more must not spoil the exit code or the last line while Python ends
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
