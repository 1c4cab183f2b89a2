"""Fine-tuning on a selection: manifest to chat batches to adapter."""
