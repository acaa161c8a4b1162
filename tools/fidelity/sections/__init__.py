"""The sections of docs/fidelity.md: each a module with ``section() -> str``, which writes its Markdown."""
