"""Error codes of disks, object stores and locks."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "disk_refused": ErrorCode(
        "A disk or temporary folder cannot be written to.",
        "Free some space, check the permissions, or choose another folder.",
    ),
    "cache_unusable": ErrorCode(
        "The cache of vectors cannot be read or written.",
        "Make it readable, delete the part that the message names, or choose another cache.",
    ),
    "path_not_local": ErrorCode(
        "A path that must be a local folder is a URL.",
        "Name a local folder: to write, one that every node shares; to open a run, a copy of it.",
    ),
    "location_unsupported": ErrorCode(
        "A URL is of a kind that is not read.",
        "Use a local path, file:// or one of the schemes that the message lists.",
    ),
    "credentials_in_recipe": ErrorCode(
        "A location contains a user name and password, which would be stored with the results.",
        "Give credentials to the environment.",
    ),
    "not_a_file": ErrorCode(
        "A path is a folder, pipe or device where a file is expected.",
        "Remove it from the data.",
    ),
    "store_unreachable": ErrorCode(
        "The object store cannot be reached.",
        "Check the address, the credentials in the environment and the connection.",
    ),
    "stage_damaged": ErrorCode(
        "A stage's file is damaged, gone or of another version.",
        "Run the same `medsift curate` again; that stage runs again.",
    ),
    "run_directory_busy": ErrorCode(
        "Another run or selection uses the run directory.",
        "Wait for it, or choose another --run-dir.",
    ),
    "run_directory_unusable": ErrorCode(
        "The path cannot be a run directory.",
        "Choose another --run-dir.",
    ),
}
