"""M06xx: targets and options."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
    "M0601": Entry(
        "An option has an illegal value",
        "The message names the option and the values that it takes.",
    ),
    "M0610": Entry(
        "there is no such target",
        "A target is the name of a preset or of a plug-in's target (meshc targets lists them), or the path of a "
        "target file that ends in .toml.",
    ),
    "M0611": Entry(
        "the target file is not TOML",
        "docs/targets.md describes the file. meshc targets NAME --toml prints a whole one to start from.",
    ),
    "M0612": Entry(
        "the target file has an unknown key",
        "Keys are checked so that a misspelt one is not silently ignored. docs/targets.md lists all of them.",
    ),
    "M0613": Entry(
        "the target file lacks a key",
        "A target is whole: every number of the machine is in its file, none has a default. docs/targets.md lists "
        "all keys with their meaning.",
    ),
    "M0614": Entry(
        "a value of the target is wrong",
        "Counts, bytes and cycles are integers, rates are positive numbers, each as key = { value = .., source = "
        '".." }. Colors for host ports must leave some for the program, and the runtime must leave SRAM for data.',
    ),
    "M0615": Entry(
        "a value of the target has no source",
        "Every number says where it comes from: a document, a measurement, or the word assumption and why.",
    ),
    "M0616": Entry(
        "the groups of a tree do not fit the axis",
        "A tree all-reduce sums groups of PEs, then groups of their roots, and so on; the sizes of its levels, from "
        "the lowest on, multiply to the PEs of the axis or to more, and the last group of a level is then shorter: "
        "90 x 8 for 720 PEs in 8 groups.",
    ),
    "M0617": Entry(
        "there is no such collective",
        "A reduction, all-reduce or broadcast is asked for by the name of its algorithm, such as chain or k_tree; "
        "docs/kernels.md lists them.",
    ),
    "M0618": Entry(
        "a collective does not lie within its region",
        "A collective runs along rows, columns or equal segments of them, all of which lie within the region, and its "
        "root is one of the positions along a line.",
    ),
    "M0620": Entry(
        "plots need a package that is not installed",
        "`meshc bench` draws with matplotlib, which comes with the extra: pip install 'meshc[plot]'. The figures "
        "themselves are in the table and in the JSON file.",
    ),
    "M0621": Entry(
        "a size has another number of extents than the operation",
        "A size is one number, taken for every extent of the operation, or all extents with an x between them.",
    ),
    "M0650": Entry(
        "there is no such diagnostic",
        "Codes are an M and four digits, such as M0101. meshc explain without a code lists them all.",
    ),
    "M0660": Entry(
        "a pipeline text cannot be read",
        "A pipeline names passes in order, each with its options: 'canonicalize,tile{algorithm=ring, rows=4}'. An "
        "option's value is a word, a number, true, false, none, a quoted string or a list in square brackets.",
    ),
    "M0661": Entry(
        "there is no such pass",
        "`meshc passes` lists the passes with their options. A plug-in adds its own through the entry point group "
        "meshc.passes.",
    ),
    "M0662": Entry(
        "a pass does not take this option or value",
        "`meshc passes` lists the options of each pass with their types and defaults.",
    ),
    "M0663": Entry(
        "a plug-in cannot be used",
        "An entry point names an object that cannot be imported or is not of the kind that its group holds, or two "
        "packages register the same name.",
    ),
}
