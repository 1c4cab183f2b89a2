"""Stages: trainings and rollouts one after the other, each from the last one's result."""
