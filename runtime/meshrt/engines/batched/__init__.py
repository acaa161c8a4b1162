"""The batched engine: all PEs at one instruction of one code run as one operation.

How it is made, from the bottom up:

- :mod:`.records` lays out the machine's state in arrays that compiled code works on;
- :mod:`.mailbox`, :mod:`.combine`, :mod:`.receive`, :mod:`.fabric`, :mod:`.launch` and :mod:`.moves` are the fabric:
  queues, moves that wait for words, routes and links, and the instructions themselves;
- :mod:`.critical` counts by cause what lies on critical paths, where that is asked for;
- :mod:`.arithmetic_numba` is arithmetic on tiles, the only part that knows values;
- :mod:`.index_cache` and :mod:`.prepare` turn program text into calls;
- :mod:`.scheduler` decides which PEs run next, :mod:`.failures` explains when none can;
- :mod:`.machine` puts one together and runs it.

Ways to do less, exactly:

- :mod:`.fast_forward` skips loops that repeat themselves, which :mod:`.repetition` finds out; their values are
  computed all the same, by :mod:`.replay` of what a round did;
- :mod:`.lanes`, where only time is kept and there is no memory for values, holds sets of PEs that all do the same
  in a few arrays, and goes over those.
"""
