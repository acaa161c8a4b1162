"""Every diagnostic code with its title and longer explanation (``meshc explain CODE``).

Ranges: M01xx models and files, M02xx IR, M03xx program text, M04xx compilation and
resources, M05xx running, M06xx targets and options.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's short title and what ``meshc explain`` prints below it."""

    title: str
    explanation: str


CATALOG: dict[str, Entry] = {
    # M01xx: models and files
    "M0100": Entry(
        "a file or directory cannot be read or written",
        "The operating system refused it: the path does not exist, is a directory where a file is wanted, may not be "
        "read or written by this user, or the disk is full. Nothing half-written is left behind.",
    ),
    "M0101": Entry(
        "the model file cannot be opened",
        "The path names no file, or a directory, or a file that may not be read. meshc compile takes one file: a "
        "torch.export archive (.pt2) or a TorchScript archive. For a Hugging Face folder or a GGUF file, make the "
        ".pt2 with meshc trace first.",
    ),
    "M0102": Entry(
        "the model file is empty, cut off or damaged",
        "A .pt2 and a TorchScript file are zip archives, whose directory stands at the end: a copy or a download "
        "that stopped early has none. Compare the size with the original and copy it again.",
    ),
    "M0103": Entry(
        "the file holds no exported model",
        "What is inside a file decides what it is, never its name. A model is read from a torch.export archive or a "
        "TorchScript archive. Weights alone (safetensors, GGUF without meshc trace) do not say what to compute.",
    ),
    "M0104": Entry(
        "pickled models are never loaded",
        "torch.save(model) and torch.save(model.state_dict()) write pickles, and reading a pickle runs whatever code "
        "its author put in. Export the model where its code is: torch.export.save(torch.export.export(model, "
        "(input_ids,)), 'model.pt2'). Or write a function that builds the model, loads the weights with "
        "torch.load(..., weights_only=True), and returns (module, example_inputs), for meshc trace file.py:function.",
    ),
    "M0105": Entry(
        "the torch.export archive cannot be read",
        "The archive is whole, but this version of torch cannot make a program of it: it was written by another "
        "version, is damaged inside, or needs a class that is not installed. Export it again with this torch, with "
        "a forward that takes and returns plain tensors.",
    ),
    "M0106": Entry(
        "the TorchScript model cannot be converted",
        "TorchScript is converted with torch's own converter to an exported program, for int64 token ids of "
        "[batch, sequence]. Scripted models with control flow on values, with non-tensor inputs, or traced for "
        "another length with shapes fixed in them, do not convert. torch.export is the way that always says more.",
    ),
    "M0107": Entry(
        "the sequence length must be given",
        "A model exported with a dynamic sequence length, and every TorchScript model, says nothing of the length "
        "to compile for. Give the longest prompt in tokens with --seq.",
    ),
    "M0108": Entry(
        "the model was not exported for these shapes",
        "A static export has one batch and one sequence length; a dynamic one a range of them. Ask for extents that "
        "it allows, or export it again: meshc trace makes batch and sequence length dynamic where the model can.",
    ),
    "M0109": Entry(
        "the model cannot be traced",
        "torch.export follows the module's forward with symbolic tensors, and something in it cannot be followed: a "
        "Python branch on a tensor's value, a call out of torch, a wrong example input.",
    ),
    "M0110": Entry(
        "the model's inputs are of no use",
        "The compiler needs a forward with at least one tensor input, by convention token ids: int64 "
        "[batch, sequence].",
    ),
    "M0111": Entry(
        "the model returns no tensor that depends on its inputs",
        "The compiler computes one result, by convention the logits: a floating-point tensor that forward returns, "
        "alone or as part of what it returns.",
    ),
    "M0112": Entry(
        "a shape depends on the values of the model's inputs",
        "Every PE's program is fixed before the run, so every shape must follow from the shapes of the inputs. "
        "Selecting by a mask (x[x > 0]), nonzero and the like have a result whose size only the values say.",
    ),
    "M0115": Entry(
        "the source of a trace is not usable",
        "meshc trace takes a Hugging Face model folder (config.json and weights), a GGUF file, or file.py:function, "
        "where the function returns (module, example_inputs).",
    ),
    "M0116": Entry(
        "a package that tracing needs is not installed",
        "Hugging Face folders and GGUF files are read by transformers and gguf. They come with the extra: "
        "pip install 'meshc[hf]'.",
    ),
    "M0117": Entry(
        "the checkpoint cannot be read",
        "The folder or GGUF file is there, but transformers cannot build a causal language model of it: damaged or "
        "missing weights, or an architecture that it does not know.",
    ),
    "M0118": Entry(
        "the output cannot be written",
        "The directory of the output does not exist, may not be written, or the disk is full. Nothing half-written "
        "is left behind.",
    ),
    # M02xx: IR text and verification
    "M0201": Entry(
        "the IR text is not well formed",
        "The text does not follow the syntax of .mir files (docs/ir.md). The caret stands at the first word that "
        "cannot follow what comes before it; the mistake may be there or shortly before.",
    ),
    "M0202": Entry(
        "a value is used where it is not defined",
        "A value can be used after its definition, in the same region or in one inside it. Values of one region "
        "cannot be seen from beside it: what leaves a region leaves through its last operation.",
    ),
    "M0203": Entry(
        "a value is defined twice",
        "Every value has one definition, and a region may not reuse a name that it can see from outside. Give one "
        "of the two another name.",
    ),
    "M0204": Entry(
        "the text is not a type",
        "A type is tensor<1x64x576xf32>, extents and then a dtype, or one that the dialect adds, written "
        "name<key = value, ...>.",
    ),
    "M0205": Entry(
        "an index expression or a view inside IR text cannot be read",
        'Attributes hold these as expr<"x + 1"> and view<"tile[0:4]">. Between the quotes stands the syntax of '
        "program.mesh (docs/program.md).",
    ),
    "M0206": Entry(
        "a key is given twice",
        "Each attribute of an operation and each parameter of a type is given once.",
    ),
    "M0207": Entry(
        "results and types do not match",
        "An operation with results names one type per result, in their order: "
        "%a, %b = name(...) : tensor<4xf32>, tensor<4xi64>.",
    ),
    "M0208": Entry(
        "a value has no text form",
        "An attribute holds none, truth values, integers, floats, strings, types, index expressions, views, and "
        "lists and dictionaries of these. A pass stored something else; what is no such value belongs into the "
        "pass context.",
    ),
    "M0209": Entry(
        "the IR file cannot be read",
        "The file does not exist, may not be read, or is not UTF-8 text.",
    ),
    "M0210": Entry(
        "the structure of the IR is broken",
        "An operation or value stands in two places, an operand is not defined where it is used, or a region does "
        "not know its operation. This is a defect of the pass that is named.",
    ),
    "M0211": Entry(
        "an operation is not legal at this level",
        "Each level (graph, tile, mesh) has a table of its operations. After a pass that lowers to a level, nothing "
        "of the level before may be left.",
    ),
    "M0212": Entry(
        "an operation has a wrong number of operands, results or regions",
        "The level's table says how many of each an operation takes.",
    ),
    "M0213": Entry(
        "an attribute is unknown, missing or of a wrong kind",
        "The level's table names the attributes of each operation, their kinds, and which must be there.",
    ),
    "M0214": Entry(
        "an operation contradicts itself",
        "The types of its operands and results and its attributes do not fit together: shapes that cannot be "
        "multiplied, a head count that does not divide, a result of another shape than the operation gives.",
    ),
    "M0215": Entry(
        "an operation stands in a wrong place",
        "A region ends with its own last operation (return, graph.yield) and holds it nowhere else; functions stand "
        "at the top level.",
    ),
    "M0216": Entry(
        "the level is unknown",
        "A module says its level in its first line: module graph, module tile or module mesh.",
    ),
    "M0220": Entry(
        "a pass left IR that is not legal",
        "The verifier runs after every pass. The pass named took legal IR and gave back this; with --dump-ir DIR "
        "both are written to files. It is a defect of the pass.",
    ),
    "M0290": Entry(
        "a grammar is missing",
        "The grammars mir.lark and mesh.lark belong to the installation. Install meshc again.",
    ),
    # M03xx: program text and its verification
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
        "A host port lies on the side of the region that it names, and gives one index for each dimension of its "
        "tensor.",
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
        "an asynchronous move is not used right",
        "Every move with async=h meets a wait handle=h, a handle names one move under way at a time, and a PE has "
        "only so many queues and moves under way at once as the target says.",
    ),
    "M0329": Entry(
        "something touches what an asynchronous move holds",
        "From its launch until its wait, what a move writes may not be read or written, and what it reads may not "
        "be written. Put the wait earlier, or use a second buffer and rotate.",
    ),
    "M0330": Entry(
        "a route leads nowhere or serves nobody",
        "A route has one input port and different output ports, leaves the region only at an output port, and a "
        "PE that sends or receives on a color needs a configuration of it from or to its RAMP.",
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
    # M04xx: compilation and resources
    "M0401": Entry(
        "The program does not fit into the SRAM",
        "Code, the runtime, weights and activations of a PE together exceed its SRAM. The note is a map of what "
        "takes the memory. A larger grid leaves fewer weights to each PE; fewer layers (`--layers`) or a shorter "
        "prompt (`--seq`) need less.",
    ),
    "M0402": Entry(
        "No kernel covers an operation",
        "An operation of the model was imported, but no kernel computes it on the mesh. `meshc coverage MODEL` lists "
        "every operation and the nearest supported form.",
    ),
    "M0403": Entry(
        "A value would have to lie in two layouts",
        "Attention wants its operands and result cut by heads. A value that joins it elementwise with one cut "
        "otherwise cannot have both layouts.",
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
    # M05xx: running
    "M0500": Entry(
        "the program is deadlocked",
        "No PE can go on: each waits for words that nobody will send, for room in a path that nobody will empty, or "
        "behind words that its own router refuses. The notes say who waits for what, and where words stand. Common "
        "causes: a receive without its send, a route that ends elsewhere, or two PEs that each send more than the "
        "queues between them hold before they receive.",
    ),
    "M0502": Entry(
        "words leave the region where no port is",
        "A route leads out over the edge of the region. Only a host port of that side and color takes words there.",
    ),
    "M0503": Entry(
        "words go round in circles",
        "The routes of a color form a ring, so its words would pass the same routers for ever.",
    ),
    "M0504": Entry(
        "a route changes under another PE's words",
        "`route` takes effect behind the words that its own PE has sent on the color. Words of other PEs must have "
        "passed the router before, or come after: which of them the change would meet depends on timing, and values "
        "never may. Let the PE receive something that tells it that they have passed.",
    ),
    "M0505": Entry(
        "words are received as another dtype than they were sent",
        "A receive, and the buffer it combines with, must have the dtype of the buffer that was sent.",
    ),
    "M0506": Entry(
        "a receive splits a word",
        "A word carries two f16 or bf16 elements and is taken whole: a receive that takes part of a message must take "
        "an even number of elements.",
    ),
    "M0507": Entry(
        "a handle is used out of turn",
        "An asynchronous move takes a handle and its `wait` gives it back. A second move may not take the same handle "
        "in between, and a `wait` needs a move before it.",
    ),
    "M0508": Entry(
        "too many asynchronous moves at once",
        "From launch to `wait` a receive holds one of the target's input queues, a send one of its output queues, a "
        "stream-through both; `async_moves_max` limits all of them together.",
    ),
    "M0509": Entry(
        "a buffer of an asynchronous move is touched before its wait",
        "Until its `wait`, nothing may touch what an asynchronous receive writes, or write what an asynchronous send "
        "reads. `--checked` watches this where it cannot be told before the run.",
    ),
    "M0510": Entry(
        "an output port got the wrong words",
        "A host port takes `count` elements of its dtype from each of its edge PEs, neither more nor fewer.",
    ),
    "M0511": Entry(
        "a color has no route anywhere",
        "The color was computed while the program ran, and no route, `route` instruction or port mentions it.",
    ),
    "M0512": Entry(
        "a buffer is read after another one overwrote it",
        "Buffers may share addresses as long as only one of them is in use. This one was overwritten, or never "
        "written, since; what it held is gone.",
    ),
    "M0513": Entry(
        "too many messages are under way",
        "The engine keeps a fixed number of messages that were sent and not yet received. A program that reaches it "
        "sends far ahead of its receivers.",
    ),
    "M0514": Entry(
        "an input does not fit the program",
        "Inputs are given by the names of the model's forward, in the shapes and kinds of numbers that the program was "
        "compiled for; only the tokens of a prompt may be fewer.",
    ),
    "M0515": Entry(
        "the prompt is longer than the build takes",
        "A build takes prompts of up to `--seq` tokens: its loops and buffers are made for that many. Compile again "
        "with a larger --seq, or shorten the prompt.",
    ),
    "M0516": Entry(
        "a runtime scalar is missing or out of bounds",
        "A program may leave integers to the run, such as the length of the prompt, each within bounds that it states.",
    ),
    "M0517": Entry(
        "the weights do not fit the program",
        "A placement names a tensor that the weights lack, or whose rank is another. `weights.safetensors` belongs to "
        "another program, or was changed.",
    ),
    "M0518": Entry(
        "words or moves are left over at the end",
        "Every PE has ended, but words were never received, or an asynchronous receive never got its words. Sends and "
        "receives of a color must agree in their number of elements.",
    ),
    "M0519": Entry(
        "the engine cannot do that",
        "There is no engine of this name, or it lacks what the option asks for.",
    ),
    "M0520": Entry(
        "a name has no value",
        "An index expression reads a parameter, counter or element index that this PE does not have at this point.",
    ),
    "M0521": Entry(
        "an index expression divides by zero",
        "The divisor of `//` or `%` was zero on one of the PEs for which the expression was evaluated.",
    ),
    "M0522": Entry(
        "a PE has no such buffer",
        "Code that runs on a PE uses a buffer whose rectangle does not hold that PE.",
    ),
    "M0523": Entry(
        "a view leaves its buffer",
        "The offset, extents or strides of a view, as they came out on one PE and in one round, reach outside the "
        "buffer, or an extent is negative.",
    ),
    "M0524": Entry(
        "operands do not fit together",
        "The views of an instruction must agree in their extents as its row in the table of instructions says: equal "
        "for elementwise instructions, [.., m, k] and [.., k, n] for a product.",
    ),
    "M0525": Entry(
        "a view has too many dimensions",
        "The engine walks a few dimensions that cannot be merged into one; split the instruction into a loop.",
    ),
    "M0501": Entry(
        "There is no report before the first run",
        "A compiled model's `report()` is that of its last run; `run(...)` comes first.",
    ),
    "M0530": Entry(
        "the run took more cycles than --max-cycles allows",
        "The emulated clock passed the limit before the program ended, so the run was stopped; exit status 3. The "
        "limit is there to end a search early. Without --max-cycles a run ends when its program does.",
    ),
    "M0550": Entry(
        "a tensor file cannot be read",
        "--inputs and --expect take safetensors files: the input tensors under the names of the model's forward, the "
        "expected outputs under the names of the build's outputs. The file is missing, damaged, or something else. "
        "In Python: safetensors.numpy.save_file({'input_ids': ids}, 'inputs.safetensors').",
    ),
    "M0551": Entry(
        "the run was given no inputs",
        "A run needs the tensors that the model's forward takes: from a safetensors file (--inputs), or as a text "
        "(--prompt) when the build has a tokenizer. A timing-only run needs neither.",
    ),
    "M0552": Entry(
        "the build has no tokenizer",
        "--prompt turns text into token ids with BUILD/tokenizer/, which meshc compile copies from a model that "
        "meshc trace made of a folder or file with a tokenizer. Without one, give the ids with --inputs.",
    ),
    "M0553": Entry(
        "the tokenizer cannot be used",
        "BUILD/tokenizer/ is there, but transformers cannot make a tokenizer of it: files are missing or damaged, or "
        "the package is not installed (pip install 'meshc[hf]').",
    ),
    "M0560": Entry(
        "the outputs differ from what was expected",
        "--expect compares every output with the tensor of its name. An element differs when it is further off than "
        "--rtol times the largest magnitude of the expected tensor; infinities and NaNs must match. Exit status 4. "
        "The message says how many elements differ and where the largest difference is.",
    ),
    "M0561": Entry(
        "the outputs cannot be compared with what was expected",
        "The --expect file lacks one of the outputs, or its shape is another. Exit status 4.",
    ),
    "M0570": Entry(
        "the report does not follow its schema",
        "A file that says it is meshc.report/1 has the fields that docs/report.md lists, with those types. This one "
        "has not: it was written by another version or changed by hand.",
    ),
    # M06xx: targets and options
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
