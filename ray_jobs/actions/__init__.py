"""Run a curation, training, evaluation, tuning or study as the command line starts it."""
