"""Error codes of Ray, jobs and the environment."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
package_hidden: Another module named curation, training, evaluation or ray_jobs is loaded already.
  Do: Start Python in another folder, or rename that module.
cluster_unreachable: Nothing listens at the address of the Ray head.
  Do: Start the head with `ray start --head`, or correct the address.
cluster_join_failed: Ray refuses to join the cluster that RAY_ADDRESS names.
  Do: Check the address, the token and Ray's version, or unset RAY_ADDRESS for a local Ray. A job
    with a worker_process_setup_hook of its own is submitted without that key.
cluster_token_missing: A file that should have the cluster's token is missing, unreadable or
    empty.
  Do: Name a readable file in RAY_AUTH_TOKEN_PATH, or set RAY_AUTH_TOKEN.
cluster_token_refused: The cluster wants a token and got none, or another one.
  Do: Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or write the token to ~/.ray/auth_token.
job_address_invalid: The address of `medsift submit` is not a dashboard's.
  Do: Give http://HOST:8265, the address that `ray start --head` prints.
job_refused: The job server does not accept the job, or was lost while the job ran.
  Do: Check that the address is the dashboard of a running head, and look at its log.
job_too_large: MedSift's code and the recipe are larger than a job may carry.
  Do: Remove data files from the packages: data stays where the cluster reads it.
package_missing: A package that the command needs is not installed here.
  Do: Install it with pip, and check the machine with `medsift doctor`.
interpreter_unfit: The Python interpreter is too old, or lacks packages that MedSift needs.
  Do: Install MedSift there, or name another interpreter with `medsift submit --python`.
nodes_share_no_disk: A node of the cluster does not see what this machine writes, or the other way
    round.
  Do: Put the run directory, the cache and the data on a disk that every node has under the same
    path, or run on one machine with --local.
node_silent: A node of the cluster does not answer.
  Do: Restart the node, or take it out of the cluster.
path_unwritable: A file or folder cannot be written.
  Do: Free some space, correct the permissions, or choose another place.
gpu_missing: A setting asks for a GPU, and this machine has none that torch can use.
  Do: Leave the setting out, or use a machine with a GPU; `medsift doctor` shows what there is.
workers_too_many: The machine has fewer CPUs or GPUs than the training asks for workers.
  Do: Lower workers.count and raise batches.grad_accumulation_steps by the same factor, or set
    RAY_ADDRESS to a larger cluster.
workers_not_started: Ray Train could not start the workers of a training.
  Do: Lower workers.count, or check the cluster with `medsift doctor`.
workers_lost: Worker processes died, more often than the recipe allows.
  Do: Look for a shortage of memory, lower batches.max_tokens or data.max_pixels, and run the same
    command again: it resumes from the newest checkpoint.
training_storage_failed: The folder or object store of a training does not read or write.
  Do: Run the same command again later: it resumes from the newest checkpoint.
training_storage_unreachable: A worker on another machine does not reach the folder of the
    training.
  Do: Let checkpoints.storage name a folder or URL that every machine reaches.
nodes_see_other_files: A node of the cluster sees other files than the machine that began the run.
  Do: Put data and run directory on a disk that every node shares.
""")
