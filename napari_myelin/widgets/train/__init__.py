"""The Train panel: a form made from the options, a run and its curves, runs of other processes."""
