"""The three levels of the IR: which operations, attributes and types are legal in each."""
