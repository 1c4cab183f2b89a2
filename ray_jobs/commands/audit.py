"""Define `medsift audit`, which shows a data office what a run found and whether it may pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath, TableOrJson


def audit(
    run_dir: RunPath,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="What is printed: table or json.")
    ] = TableOrJson.table,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HTML page to write.", show_default="RUN_DIR/audit.html"
        ),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="Run of the manifest.", show_default="the newest")
    ] = None,
) -> None:
    """Count identifiers, licences, patients across splits and rows near a benchmark.

    What the recipe accepts is under its key `audit`; with more, the exit status is 4.
    """
    from curation.audit.audit import LABELS
    from curation.audit.audit import audit as look
    from curation.audit.show import audit_text, write_audit
    from medsift.errors import LedgerError
    from medsift.storage.mirror import location
    from ray_jobs.cli_args import manifest_path

    manifest = manifest_path(run_dir)
    found = look(manifest, run_id)
    target = output if output is not None else manifest.parent / "audit.html"
    write_audit(found, target)
    if style is TableOrJson.json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(audit_text(found), nl=False)
        typer.echo(f"\n{location(target)}")
    failed = [check for check in found.checks if not check.passed]
    if failed:
        listed = "; ".join(
            f"{check.found} {LABELS[check.name]}, {check.accepted} accepted" for check in failed
        )
        raise LedgerError(
            f"the audit failed: {listed}; correct the data, or raise the limits under audit",
            code="audit_failed",
            checks=[check.name for check in failed],
        )
