"""Rollouts: draw replies to a selection's questions, and keep those worth training a policy on."""
