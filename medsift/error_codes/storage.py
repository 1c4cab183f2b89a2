"""Error codes of disks, object stores and locks."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
disk_refused: A disk or temporary folder cannot be written to.
  Do: Free some space, check the permissions, or choose another folder.
cache_unusable: The cache of vectors cannot be read or written.
  Do: Make it readable, delete the part that the message names, or choose another cache.
path_not_local: A path that must be a local folder is a URL.
  Do: Name a local folder, or for a run, s3://, gs:// or az://.
location_unsupported: A URL is of a kind that is not read.
  Do: Use a local path, file:// or one of the schemes that the message lists.
credentials_in_recipe: A location contains a user name and password, or a recipe asks for an
    environment variable that by its name holds a secret; either would be stored with the results.
  Do: Give credentials to the environment.
not_a_file: A path is a folder, pipe or device where a file is expected.
  Do: Remove it from the data.
store_unreachable: The object store cannot be reached.
  Do: Check the address, the credentials in the environment and the connection.
store_refused: The object store refuses the request, or there are no credentials for it.
  Do: Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; the keys need permission to
    read, write and list under the run's URL, because a store without the last refuses instead of
    saying that a file is missing.
lease_lost: Another process took over the run directory, because this one did not renew its lease.
  Do: Run the same command again when the other one is done.
pointer_moved: Another process changed the manifest while this one was writing it.
  Do: Run the same command again.
folder_damaged: A folder in an object store is not what its listing says.
  Do: Remove it and make it again.
pointer_damaged: A manifest in an object store, or the pointer to it, is not what was written.
  Do: Remove the file that the message names and curate again.
stage_damaged: A stage's file is damaged, gone or of another version.
  Do: Run the same `medsift curate` again; that stage runs again.
run_directory_busy: Another run or selection uses the run directory.
  Do: Wait for it, or choose another --run-dir.
run_directory_unusable: The path cannot be a run directory.
  Do: Choose another --run-dir.
""")
