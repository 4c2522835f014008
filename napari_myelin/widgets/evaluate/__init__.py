"""The Evaluate panel: predictions of a cohort against its measured DVR, in tables and figures."""
