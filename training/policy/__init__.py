"""Policy optimisation: replies of the model in training, their rewards, and losses on them."""
