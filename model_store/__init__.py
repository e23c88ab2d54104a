"""Versions of models as manifests, blobs, a journal and an index that can be rebuilt. Knows no HTTP and no engine."""
