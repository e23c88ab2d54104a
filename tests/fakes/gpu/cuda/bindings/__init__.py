"""A fake: it stands where NVIDIA's package would be, for tests on machines without a GPU."""
