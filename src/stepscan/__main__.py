"""`python -m stepscan`."""

from stepscan.cli import main

main()
