"""The batched engine: all PEs at one instruction of one code run as one operation.

How it is made, from the bottom up:

- :mod:`.records` lays out the machine's state in arrays that compiled code works on;
- :mod:`.mailbox`, :mod:`.receive`, :mod:`.fabric`, :mod:`.launch` and :mod:`.moves` are the fabric:
  queues, moves that wait for words, routes and links, and the instructions themselves;
- :mod:`.critical` counts by cause what lies on critical paths, where that is asked for;
- :mod:`.arithmetic_numba` is arithmetic on tiles, the only part that knows values;
- :mod:`.index_cache` and :mod:`.prepare` turn program text into calls;
- :mod:`.scheduler` decides which PEs run next, :mod:`.failures` explains when none can;
- :mod:`.machine` puts one together and runs it.

Where only time is kept there are no values and no memory for them, and two ways to do less:

- :mod:`.lanes` holds sets of PEs that all do the same in a few arrays, and goes over those;
- :mod:`.fast_forward` skips loops that repeat themselves, which :mod:`.repetition` finds out.
"""
