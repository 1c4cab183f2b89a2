"""A study: full data, selections and baselines trained, evaluated and held against each other."""
