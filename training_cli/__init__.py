"""The command line ``napari-myelin-train``: the engine, headless."""
