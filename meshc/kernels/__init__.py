"""The distributed algorithms: each with its cost, memory and colors beside the code that generates it."""
