"""Training: `fit` is a generator of events that ends in one model file."""
