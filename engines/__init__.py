"""Everything that reads, runs or measures a model. Knows no HTTP and no store."""
