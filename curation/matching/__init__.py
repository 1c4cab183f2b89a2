"""Decide whether two pictures or two texts are the same; shared by every room that compares."""
