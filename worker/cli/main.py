"""The `lungspread` command: logging set-up and the list of subcommands.

Exit codes (worker/cli/terminal.py): 0 success; 2 the input was rejected; 1 any other error.
"""

from __future__ import annotations

import logging
import os

import typer

from worker.cli.clean_up import clean_up
from worker.cli.demo import demo
from worker.cli.doctor import doctor
from worker.cli.erase import erase
from worker.cli.jobs import jobs
from worker.cli.models import app as models_app
from worker.cli.node import node
from worker.cli.retry import prioritise, repair, retry
from worker.cli.run import run
from worker.cli.schema import schema
from worker.cli.send import send
from worker.cli.serve import serve
from worker.cli.timeline import timeline
from worker.cli.worker import worker

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(models_app, name="models")
for command in (
    timeline,
    schema,
    run,
    serve,
    node,
    worker,
    demo,
    send,
    jobs,
    retry,
    prioritise,
    repair,
    clean_up,
    erase,
    doctor,
):
    app.command()(command)


@app.callback()
def lungspread(context: typer.Context) -> None:
    """Outline lung tumours in chest CT, beside a PACS. Research use only."""
    from dicom_node.network.status import configure_libraries
    from dicom_node.storage.private_folder import PRIVATE_UMASK

    if context.invoked_subcommand != "models":  # models have no patient data, and may be pulled for another user
        os.umask(PRIVATE_UMASK)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    configure_libraries()
    logging.getLogger("highdicom").setLevel(logging.WARNING)


def main() -> None:
    """Run the command line."""
    app()
