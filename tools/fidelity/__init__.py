"""What the emulator says beside what was measured or published elsewhere: the tables of docs/fidelity.md."""
