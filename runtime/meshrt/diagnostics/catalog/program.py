"""M03xx: program text and its verification."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
    "M0301": Entry(
        "the text of a program cannot be read",
        "The parser met something that the grammar (grammar/mesh.lark) does not allow there. The message says "
        "what may stand at that place, and the help shows how the construct is written. docs/program.md describes "
        "the whole text.",
    ),
    "M0302": Entry(
        "the program has another version",
        "The first line of program.mesh, mesh and a number, is the version of the text. This runtime reads "
        "another one. Compile the model again, or run the build with the meshc that made it.",
    ),
    "M0303": Entry(
        "a number, string or table of the program is out of range",
        "Integers have at most 18 digits, so that index expressions stay within 64 bits; the op table is numbered "
        "from 0 on without gaps; a scalar has at least one value and a table at least one entry, at most "
        "1,048,576. Brackets are nested at most 100 deep, and a line has at most 400 operators.",
    ),
    "M0304": Entry(
        "a function of index expressions is wrong",
        "Index expressions know min(a, b), max(a, b) and select(condition, then, otherwise). An entry of a table "
        "is written with brackets: phys[x].",
    ),
    "M0310": Entry(
        "there is no such instruction",
        "The instruction table in docs/program.md lists every opcode with its operands and options.",
    ),
    "M0311": Entry(
        "an option of an instruction is wrong",
        "The option is unknown to the instruction, missing, given twice, or its value is of another kind than the "
        "instruction table says: an index expression, a number, a word, a port, ports in brackets, or the name of "
        "a handle.",
    ),
    "M0312": Entry(
        "an instruction has the wrong operands",
        "The instruction table says how many operands an opcode takes and which of them are written. Only what an "
        "elementwise instruction reads may be a number in place of a view of a buffer.",
    ),
    "M0313": Entry(
        "a name of the program is not defined",
        "Names in expressions are x, y, scalars, parameters, the counters of the loops around, and element "
        "indices where the instruction has them. A name and a buffer must be there on every PE that uses them: "
        "parameters and buffers belong to rectangles.",
    ),
    "M0314": Entry(
        "something is defined twice",
        "On one PE a parameter, a buffer and the initial route of a color have one definition; regions, scalars, "
        "tables and ports have different names, and a loop counter hides no other name.",
    ),
    "M0315": Entry(
        "a rectangle is empty or leaves its region",
        "Rectangles are half open and relative to the region: (x0:x1, y0:y1) with an optional step, x0 < x1 at "
        "most the region's width, y0 < y1 at most its height.",
    ),
    "M0316": Entry(
        "two codes cover the same PE",
        "Every PE runs at most one code, so code rectangles do not overlap. What differs between PEs of one code "
        "is said by conditions on x and y.",
    ),
    "M0317": Entry(
        "a region does not fit the fabric",
        "A region must lie on the usable fabric of the target and may not overlap another. A smaller grid "
        "(--grid) or another target (--target) helps.",
    ),
    "M0318": Entry(
        "a buffer ends behind the SRAM",
        "Runtime, code and buffers share the SRAM of the PE, whose size is in the target file. The notes are the "
        "memory map of the fullest PE.",
    ),
    "M0319": Entry(
        "a buffer lies on the code",
        "The first bytes of the SRAM hold runtime and code: runtime_bytes + instructions x "
        "code_bytes_per_instruction of the target, where every instruction, loop and branch counts. Buffers start "
        "behind them.",
    ),
    "M0320": Entry(
        "a color is not there for this use",
        "A router has as many colors as the target says. The last host_colors of them belong to host ports; "
        "streams between PEs use the others.",
    ),
    "M0321": Entry(
        "a router needs too many configurations of a color",
        "A router holds a few configurations (input port and output ports) of each color. The initial route and "
        "all that route instructions of the PE's code set count together.",
    ),
    "M0322": Entry(
        "a placement is wrong",
        "A placement runs over element indices inside the buffer's shape, no element is placed twice, the "
        "tensor's name may read only the element indices, each dimension of the tensor has one index, and the "
        "weights must have the tensor. What is placed may not depend on a runtime scalar.",
    ),
    "M0323": Entry(
        "a port is wrong",
        "A host port lies on the side of the region that it names, where no other region begins, and gives one index "
        "for each dimension of its tensor.",
    ),
    "M0324": Entry(
        "a name cannot be used",
        "Names are letters, digits, underscores and dots, not starting with a digit. inf and nan are numbers; in "
        "index expressions x and y are coordinates, and e, i0, i1, .. are element indices.",
    ),
    "M0325": Entry(
        "a stream is left in the program",
        "Names such as @ring.x.0 stand for streams inside the compiler. A program for the runtime has the numbers "
        "of their colors; the compiler's color allocation puts them there.",
    ),
    "M0326": Entry(
        "an index expression has no value",
        "On some PE the expression divides by zero or reads a table outside its entries. Only the branch of a "
        "select that is taken must be inside the table.",
    ),
    "M0327": Entry(
        "a view reaches outside its buffer",
        "The elements offset + i0 x stride0 + i1 x stride1 + .. of a view must lie in its buffer on every PE. "
        "Those that depend on loop counters or scalars are checked when the program runs.",
    ),
    "M0328": Entry(
        "linked regions differ in a scalar that they share",
        "Regions between which routes lead must agree on what one sends and the other takes. A runtime scalar that "
        "several of them declare has the same bounds in each and one value in a run.",
    ),
    "M0330": Entry(
        "a route leads nowhere or serves nobody",
        "A route has one input port and different output ports, leaves the region only at an output port or where "
        "another region touches it, and a PE that sends or receives on a color needs a configuration of it from or to "
        "its RAMP.",
    ),
    "M0331": Entry(
        "an op is not in the op table",
        "op N { .. } in code says to which source operation the statements belong; N counts the op lines at the "
        "head of the program.",
    ),
    "M0332": Entry(
        "a buffer is declared wrong",
        "A buffer has a dtype of f32, f16, bf16 or i32, at least one element, and an address that is a multiple "
        "of the element's size.",
    ),
    "M0360": Entry(
        "something about the program could not be proven",
        "meshc check proves a program by running it without time and values, once for each class of runtime scalars "
        "that behave alike, and by induction over loops. It does not accept what it cannot decide: more values of the "
        "scalars than it looks at, too long an execution, PEs that look at different flags at once, or routes that are "
        "rewritten where only timing keeps the words of other PEs apart. The program may be sound all the same; a run "
        "finds what goes wrong in it with the same codes.",
    ),
    "M0350": Entry(
        "this is not a build",
        "A build is the directory that meshc compile writes: program.mesh, weights.safetensors, manifest.json and "
        "target.toml.",
    ),
    "M0351": Entry(
        "a file of the build is missing or damaged",
        "The build is not whole: a copy stopped early or a file was changed. Copy it again or compile the model "
        "again; meshc check BUILD reads every file.",
    ),
    "M0352": Entry(
        "the manifest of the build cannot be used",
        "manifest.json is damaged, or its schema is one that this runtime does not read. Compile the model again "
        "with the meshc that belongs to this runtime.",
    ),
    "M0353": Entry(
        "the build cannot be written",
        "The output must be a new directory, an empty one or an older build, in a directory that exists and may "
        "be written. Nothing half-written is left behind.",
    ),
}
