"""Replies of loaded models: for evaluation, and for a policy in training."""
