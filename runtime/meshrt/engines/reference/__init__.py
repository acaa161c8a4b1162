"""The reference engine: word by word through routers with finite queues, cycle by cycle.

It is the living definition of the machine of ``docs/machine.md``. How it is made, from
the bottom up:

- :mod:`.records` lays out the machine's state in arrays that compiled code works on;
- :mod:`.queues`, :mod:`.moves` and :mod:`.routers` are the fabric: words in queues, the
  moves of PEs that send and take them, and the links that are decided in every cycle;
- :mod:`.expressions`, :mod:`.operands`, :mod:`.arithmetic` and :mod:`.instructions` are
  what a PE executes, and :mod:`.pes` runs its code;
- :mod:`.held` and :mod:`.shadow` are what ``--checked`` looks at;
- :mod:`.clock` says what happens in a cycle and which cycle comes next;
- :mod:`.lowering`, :mod:`.layout` and :mod:`.state` make all this of a program, and
  :mod:`.machine` runs it once; :mod:`.failures` explains what went wrong.
"""
