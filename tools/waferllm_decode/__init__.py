"""WaferLLM's decode and meshc's own in one emulator: cycles of a layer, and what each step of the way gives."""
