"""A simulated cohort whose myelin is known voxel by voxel."""
