"""From mesh IR to a build directory: program text, weights and manifest."""
