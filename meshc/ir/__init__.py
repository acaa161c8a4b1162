"""The IR core: values and operations, their text, and the verifier."""
