"""Improve a selection with the probe or a fine-tuned model as the learner."""
