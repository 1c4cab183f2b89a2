"""Read replies of models: reasoning apart from the answer, options, yes or no, words.

Pure functions over texts. Evaluation scores with them, and curation verifies what a teacher says.
"""
