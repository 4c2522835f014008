"""The Predict panel: a model, a subject, what came out, and what is saved of it."""
