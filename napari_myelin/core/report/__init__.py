"""The page that a person reads: pictures, curves and tables in one self-contained HTML file."""
