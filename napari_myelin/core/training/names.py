"""What the files of a run folder are called, for whoever looks at a run without torch."""

from __future__ import annotations

OPTIONS = "options.toml"
EVENTS = "events.jsonl"
STATE = "state"
MODEL = "model.safetensors"
LAST = "last.safetensors"
PREVIEW = "preview.npz"
STOP = "stop"
CACHE = "cache"
SMALLER = "smaller.json"  # what a run of several processes steps down to when it is resumed
