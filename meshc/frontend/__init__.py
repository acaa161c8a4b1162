"""From PyTorch to graph IR: export, import and naming of weights."""
