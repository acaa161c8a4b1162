"""What the graph passes match with: use-def editing, affine layouts, evaluation and probing."""
