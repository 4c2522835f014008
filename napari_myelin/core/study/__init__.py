"""The study: folds, methods, parts that run on their own, and one table of results."""
