"""M04xx: compilation and resources."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
    "M0401": Entry(
        "The program does not fit into the SRAM",
        "Code, the runtime, weights and activations of a PE together exceed its SRAM. The note is a map of what "
        "takes the memory. A larger grid leaves fewer weights to each PE; fewer layers (`--layers`), a shorter "
        "prompt (`--seq`) or, in decode, a shorter `--context` need less.",
    ),
    "M0402": Entry(
        "No kernel covers an operation",
        "An operation of the model was imported, but no kernel computes it on the mesh. `meshc coverage MODEL` lists "
        "every operation and the nearest supported form.",
    ),
    "M0404": Entry(
        "A pass was run out of turn",
        "Each pass of the lowering works on one level of IR and needs what the passes before it leave: `tile` takes "
        "the graph level, `place` the tile level with algorithms selected, and a program has colors and addresses only "
        "after `allocate-colors` and `plan-memory`. `meshc passes` says what each needs. Pipelines that were not "
        "written by hand are in order.",
    ),
    "M0405": Entry(
        "No kernel applies on this grid",
        "Every kernel for the operation, or the one that is named by `algorithm`, says that it cannot run on this "
        "grid. The notes give each kernel's reason; `meshc kernels` lists the kernels.",
    ),
    "M0406": Entry(
        "Too few routing colors",
        "Streams that meet in a router need different colors, and hosts ports keep some of the target's colors to "
        "themselves. Kernels that share streams, such as those of the rings and chains, need fewer.",
    ),
    "M0407": Entry(
        "The grid is larger than the fabric",
        "`--grid WxH` asks for more columns or rows of PEs than the target has. `meshc targets NAME` shows the usable "
        "fabric, which is a little smaller than the wafer: some columns and rows serve host I/O.",
    ),
    "M0408": Entry(
        "The layers asked for are not there",
        "`--layers A:B` keeps rounds A to B (without B) of the loop that repeated layers were rolled into. The model "
        "must have exactly one such loop, and the loop at least B rounds; a round may hold several layers when layers "
        "of different kinds alternate.",
    ),
    "M0409": Entry(
        "A relayout reaches beyond the grid",
        "`tile.relayout` moves a value to a rectangle of PEs: its corner is the `origin` of the shard's type, its "
        "columns and rows are the parts of the two layouts. The rectangle must lie within the grid that the function "
        "is compiled for.",
    ),
    "M0410": Entry(
        "A relayout does not fit into the SRAM",
        "While a value moves, a PE holds its tile of the operand and of the result and, on the ring, the tiles that "
        "pass. A replicated value takes its whole extent in every PE. Cut it over more PEs, or keep it in blocks.",
    ),
    "M0411": Entry(
        "A kernel has no such schedule",
        "The `schedule` of an operation, or a pin such as `gemm.ring{vector=m}`, names what a kernel lets one choose "
        "besides the algorithm. The note lists what it offers for this operation on this grid.",
    ),
    "M0420": Entry(
        "The model cannot be decoded",
        "A token that is decoded sees the tokens before it. The named attention has no causal mask: it also looks at "
        "later ones, as encoders do. Such a model can be compiled for the prefill phase alone.",
    ),
    "M0421": Entry(
        "The context is longer than the traced model",
        "The one-token program is derived from the graph of a whole sequence, whose masks, tables and rotary "
        "frequencies are recognised by their values at each of its positions. What holds at a position that the graph "
        "does not have is not known (a window may begin there), so the context is at most the tokens of the graph. "
        "A model exported with a dynamic sequence length is taken at the length of the context.",
    ),
    "M0422": Entry(
        "The context is not known",
        "A build that writes text keeps the keys and values of up to `--context` tokens, prompt and answer "
        "together. Where the model was exported for one sequence length the context is that; for a model of any "
        "length it must be given.",
    ),
    "M0423": Entry(
        "The grid is too small for the KV cache",
        "The weights fit, the keys and values of the whole context do not. By `--kv shift` all rows of PEs share the "
        "tokens, so that each column holds its share of the context's entries over as many rows; by `--kv append` the "
        "last row holds them all. Besides the cache, scores grow with the slots of a row, and prompts lie whole in "
        "every PE: a `--seq` shorter than the context leaves more room. The notes are a map of the memory; the helps "
        "name the longest context that fits, which was found by compiling with it. `meshc check BUILD` tells it for "
        "a build that fits.",
    ),
}
