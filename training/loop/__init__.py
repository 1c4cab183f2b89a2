"""Steps, checkpoints and curves of a training."""
