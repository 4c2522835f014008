"""The Subject panel: a cohort, how its maps lie, orthogonal views."""
