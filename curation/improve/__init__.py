"""Move quotas by what a learner gets wrong, and select again."""
