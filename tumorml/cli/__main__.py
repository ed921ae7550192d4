"""Run the command line as `python -m tumorml.cli`."""

from tumorml.cli import main

main()
