"""Where a memory comes from and what hangs on it."""
