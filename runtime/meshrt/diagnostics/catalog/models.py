"""M01xx: models and files."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
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
    "M0113": Entry(
        "A static cache is not used as one",
        "An export of one token with caches of a fixed length is read for all positions at once. For that each cache "
        "must be written at the token's position, by `index_copy`, and every view must keep the token apart from "
        "other dimensions, as transformers' `TorchExportableModuleWithStaticCache` does. Decode needs no such export: "
        "it is derived from one of whole prompts.",
    ),
    "M0114": Entry(
        "The export writes into its constants",
        "torch.export keeps tensors that are no buffers of the module as constants, and cannot make writes to them "
        "functional. Caches that are exported with `strict=False` end as such.",
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
}
