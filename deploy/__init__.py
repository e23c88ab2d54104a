"""What Octet is run with elsewhere. Python only where files are generated."""
