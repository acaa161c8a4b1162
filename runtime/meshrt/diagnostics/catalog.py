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
        "the source of a trace is not usable",
        "meshc trace takes a Hugging Face model folder (config.json and weights), a GGUF file, or file.py:function, "
        "where the function returns (module, example_inputs).",
    ),
    "M0112": Entry(
        "a package that tracing needs is not installed",
        "Hugging Face folders and GGUF files are read by transformers and gguf. They come with the extra: "
        "pip install 'meshc[hf]'.",
    ),
    "M0113": Entry(
        "the checkpoint cannot be read",
        "The folder or GGUF file is there, but transformers cannot build a causal language model of it: damaged or "
        "missing weights, or an architecture that it does not know.",
    ),
    "M0114": Entry(
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
    # M05xx: running
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
