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
ray_not_started: Ray does not start on this machine.
  Do: Run the same command again when the machine is less busy, or work without Ray (--local).
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
job_unknown: The cluster knows no job of this id.
  Do: List its jobs with `medsift jobs`; after a lost head ask `medsift status RUN_DIR`.
job_already_running: A job with the same command, settings and run directory runs already.
  Do: Follow it with `medsift attach`, or submit another with --new.
job_server_lost: The job server does not answer, or has not for long; the job may continue.
  Do: Follow it with `medsift attach` once the head is back, or ask `medsift status RUN_DIR`.
job_not_stopped: A job has not ended long after it was asked to stop.
  Do: Look at its log with `medsift logs`, and at the cluster.
runtime_env_invalid: The file of --runtime-env cannot be used.
  Do: Write a YAML mapping of Ray's runtime environment, without working_dir and without
    worker_process_setup_hook, which MedSift sets.
heartbeat_missing: No command has left a heartbeat in the run directory.
  Do: Name the run directory of a command that began to work, or a job with --address.
package_missing: A package that the command needs is not installed here.
  Do: Install it with pip, and check the machine with `medsift doctor`.
interpreter_unfit: The Python interpreter is too old, or lacks packages that MedSift needs.
  Do: Install MedSift there, or name another interpreter with `medsift submit --python`.
nodes_share_no_disk: A node of the cluster does not see what this machine writes, or the other way
    round.
  Do: Put the run directory, the cache and the data on a disk that every node has under the same
    path, or run on one machine with --local.
run_directory_not_shared: A cluster has several nodes, and the run is in a folder that is not
    declared to be on a disk that they share.
  Do: Name a store that every node reaches, such as s3://bucket/run; or set shared_disk: true under
    compute (in a training: under workers) where every node has the folder under the same path,
    which is then proved; or run with --local.
working_folder_removed: The folder in which a job or command runs was removed meanwhile, as Ray does
    where two nodes of a cluster have one temporary folder.
  Do: Start each node with a temporary folder of its own (`ray start --temp-dir`), or in a container
    of its own, and submit again.
node_silent: A node of the cluster does not answer.
  Do: Restart the node, or take it out of the cluster.
path_unwritable: A file or folder cannot be written.
  Do: Free some space, correct the permissions, or choose another place.
gpu_missing: A setting asks for a GPU, and this machine has none that torch can use.
  Do: Leave the setting out, or use a machine with a GPU; `medsift doctor` shows what there is.
workers_too_many: The machine has fewer CPUs or GPUs than the training asks for workers.
  Do: Lower workers.count and raise batches.grad_accumulation_steps by the same factor, or set
    RAY_ADDRESS to a larger cluster.
cluster_too_small: No node, or not enough of them, has the CPUs or GPUs that are asked for.
  Do: Ask for less, or add nodes. MEDSIFT_SCALE_UP_SECONDS is how long a cluster that grows is
    waited for.
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
