"""The model that is trained: loading, adapters, sharding and the loss."""
