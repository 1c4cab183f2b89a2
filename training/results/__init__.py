"""The finished training: its folder, lineage and model card, and its rows in the manifest."""
