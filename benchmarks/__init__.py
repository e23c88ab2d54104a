"""Octet's speed, measured against bare comparisons in the same run: `make bench`."""
