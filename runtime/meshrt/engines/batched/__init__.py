"""The batched engine: all PEs at one instruction of one code run as one operation.

How it is made, from the bottom up:

- :mod:`.records` lays out the machine's state in arrays that compiled code works on;
- :mod:`.mailbox`, :mod:`.receive`, :mod:`.fabric` and :mod:`.moves` are the fabric:
  queues, moves that wait for words, routes and links, and the instructions themselves;
- :mod:`.arithmetic_numba` is arithmetic on tiles, the only part that knows values;
- :mod:`.index_cache` and :mod:`.prepare` turn program text into calls;
- :mod:`.scheduler` decides which PEs run next, :mod:`.deadlock` explains when none can;
- :mod:`.machine` puts one together and runs it.
"""
