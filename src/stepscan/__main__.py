"""The entry point of `stepscan` and `python -m stepscan`, which handles an interrupt during imports too."""

import signal
import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from stepscan.cli import main as run

        try:
            run()
        finally:  # another signal must not change the exit code or the output while Python exits
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
