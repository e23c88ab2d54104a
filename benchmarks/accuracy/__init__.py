"""What quantizing costs, and what brings accuracy back, on trained models: `make accuracy`."""
