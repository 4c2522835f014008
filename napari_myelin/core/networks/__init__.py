"""Generators and discriminators; they see tensors only."""
