"""MedSift: the smallest medical fine-tuning set that trains as good a model as the whole pool."""
