"""Compare how well selected and random subsets teach a small learner on frozen vectors."""
