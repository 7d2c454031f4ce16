"""`python -m training COMMAND`: runs the commands of `training/cli.py`."""

from training.cli import app

if __name__ == "__main__":
    app()
