"""What is measured of a prediction, and what it is compared with; numpy only."""
