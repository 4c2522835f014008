"""Volumes, subjects, cohorts and grids; numpy and nibabel, no torch."""
