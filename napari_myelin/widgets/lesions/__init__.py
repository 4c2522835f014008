"""The Lesions panel: a mask that is drawn or taken in, its journal, its lesions, its file."""
