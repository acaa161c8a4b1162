"""Proofs about a program, before anything runs, for every value of its runtime scalars.

    from meshrt.program.proofs import prove
    proof = prove(program, target, source)
    proof.findings      # diagnostics, with the codes of the runtime; empty where all is proven
    proof.regions       # what was proven: classes of scalars, words, rounds skipped by induction

Regions that words can go between are proven together (:mod:`.stretches`), others one by one.

``prove`` takes a program that :func:`meshrt.program.check.diagnose` finds nothing wrong with.

**Why one execution is enough.** PEs, asynchronous moves and routers are sequential processes. A queue has one writer
and one reader, reading waits for words and writing for room, and nobody asks whether words are there. Such a network
(Kahn 1974, with bounded channels) is *confluent*: whatever the speed of its parts, and whichever link an arbiter
serves first, every maximal execution makes the same moves, so it either always ends or always stops at the same
place. An untimed execution with the queues of the target therefore decides, for all timings: whether the program
deadlocks, whether every word finds a reader, which words are left, how much of a queue is used, and which buffers
hold their data when an instruction reads them. Values do not take part: control and communication never depend on
them, but for ``until`` (below).

**What is proven** of each region, for each value of its scalars:

- no deadlock (M0500), no words or moves left over (M0518), every port gets its elements (M0510);
- no word leaves the fabric but at a port (M0502); words are received whole (M0506), as what was sent (M0505);
- handles are used in turn (M0507), queues and asynchronous moves stay within the target (M0508);
- what a move holds is not touched before its wait (M0509);
- a buffer that shares addresses is read only while it holds its own data (M0512);
- a route is not rewritten under another PE's words (M0504), whatever the timing.

**Loops** whose counter decides nothing inside are proven by induction (:mod:`.induction`); **scalars** fall into
classes for which all conditions, bounds, colors and extents come out alike (:mod:`.evaluation`), one execution each.

What cannot be decided is told (M0360), never accepted.
"""

from meshrt.program.proofs.prove import Proof, RegionProof, prove

__all__ = ["Proof", "RegionProof", "prove"]
