"""What runs compiled: the machine's state and all that happens to it in a cycle."""
