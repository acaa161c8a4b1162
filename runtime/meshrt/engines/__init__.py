"""The engines that run programs."""
