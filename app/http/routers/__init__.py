"""The control plane's paths, a file a subject."""
