"""The service: composes engines and store, and speaks HTTP and command line."""
