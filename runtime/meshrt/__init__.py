"""The emulated wafer: what machine and program are, and the engines that run them."""
