"""Seeing myelin in multiple sclerosis without a PET scan (research software, not a medical device)."""

__version__ = "0.1.0"
