"""The app: panels inside napari, on the engine."""
