"""Define `medsift deidentify`, which writes de-identified copies of DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import invalid


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A DICOM file, or a folder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the copies.", show_default=False)
    ],
    pixels: Annotated[
        bool, typer.Option("--pixels/--no-pixels", help="Paint over text in the pixels.")
    ] = True,
    key_variable: Annotated[
        str, typer.Option("--key-variable", help="Environment variable with the secret.")
    ] = "MEDSIFT_PRIVACY_KEY",
) -> None:
    """Write DICOM files again without what identifies the patient (PS3.15, basic profile).

    Equal patients, studies and UIDs stay equal under the secret, and the days between a patient's
    dates stay. Files that cannot be de-identified are listed and not written; then the exit
    status is 3.
    """
    from curation.privacy.deidentify import deidentify_folder
    from curation.privacy.mask_picture import PictureMasker
    from curation.privacy.pseudonyms import read_key
    from curation.privacy.settings import PrivacyConfig
    from medsift.errors import InputError, UsageError

    key = read_key(key_variable)
    if key is None:
        message = f"{key_variable} is not set: set it to a secret of 16 or more characters"
        raise UsageError(message, code="privacy_key_missing", variable=key_variable)
    if not source.exists():
        raise invalid("SOURCE", f"{source} is not there; name a DICOM file or a folder of them")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"--output {output} is not an empty folder; name another one",
            code="export_output_in_the_way",
            path=str(output),
        )
    masker = PictureMasker(PrivacyConfig(pictures="mask")) if pixels else None
    done = list(deidentify_folder(source, output, key, masker))
    refused = [one for one in done if one.problem is not None]
    for one in refused:
        typer.echo(f"not written: {one.source}: {one.problem}", err=True)
    painted = sum(one.painted > 0 for one in done)
    typer.echo(
        f"{len(done) - len(refused):,} files in {output}, {painted:,} with text painted over"
    )
    if refused:
        message = f"{len(refused)} of {len(done)} DICOM files could not be de-identified"
        raise InputError(message, code="dicom_not_deidentified", files=len(refused))
