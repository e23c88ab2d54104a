"""The `octet` command: each command a file, imported only when it runs."""
