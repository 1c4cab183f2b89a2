"""From the rows of a selection to batches of tensors."""
