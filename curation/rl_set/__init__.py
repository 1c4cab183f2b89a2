"""Which questions are worth asking a policy in training, by how often the model answers them."""
