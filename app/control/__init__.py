"""What changes the store or what is served: publish, watch."""
