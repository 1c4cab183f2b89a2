"""The command line, the cluster, and thin Ray wrappers of stages."""
