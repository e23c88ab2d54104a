"""Wire formats: bytes to named arrays and back."""
