"""Run everything from the command line and on Ray: commands, clusters, jobs and studies."""
