"""The engine: a cohort in, a myelin model and maps out. Neither Qt nor napari, ever."""
