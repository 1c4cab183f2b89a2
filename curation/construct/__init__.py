"""Construct reasoning data: ask a teacher, verify each reply, and keep one trace for a sample."""
