"""Error codes of disks, object stores and locks."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
disk_refused: A disk or temporary folder cannot be written to.
  Do: Free some space, check the permissions, or choose another folder.
cache_unusable: The cache of vectors cannot be read or written.
  Do: Make it readable, delete the part that the message names, or choose another cache.
path_not_local: A path that must be a local folder is a URL.
  Do: Name a local folder: to write, one that every node shares; to open a run, a copy of it.
location_unsupported: A URL is of a kind that is not read.
  Do: Use a local path, file:// or one of the schemes that the message lists.
credentials_in_recipe: A location contains a user name and password, which would be stored with the
    results.
  Do: Give credentials to the environment.
not_a_file: A path is a folder, pipe or device where a file is expected.
  Do: Remove it from the data.
store_unreachable: The object store cannot be reached.
  Do: Check the address, the credentials in the environment and the connection.
stage_damaged: A stage's file is damaged, gone or of another version.
  Do: Run the same `medsift curate` again; that stage runs again.
run_directory_busy: Another run or selection uses the run directory.
  Do: Wait for it, or choose another --run-dir.
run_directory_unusable: The path cannot be a run directory.
  Do: Choose another --run-dir.
""")
