"""Run a curation, training, evaluation or tuning as the command line starts it."""
