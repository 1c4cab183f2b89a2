"""Study whether a small set is enough: train, evaluate and compare selections and full data."""
