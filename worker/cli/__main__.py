"""Entry point of `python -m worker.cli`: runs the `lungspread` command."""

from worker.cli.main import main

if __name__ == "__main__":
    main()
