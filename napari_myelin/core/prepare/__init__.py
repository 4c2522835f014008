"""From the scanner's images to a cohort: MTR, diffusion maps and DVR on one grid, with masks and transforms."""
