"""Submit commands as jobs on a Ray cluster, follow them, and stop them."""
