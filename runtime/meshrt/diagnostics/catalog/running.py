"""M05xx: running."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
    "M0500": Entry(
        "the program is deadlocked",
        "No PE can go on: each waits for words that nobody will send, for room in a path that nobody will empty, or "
        "behind words that its own router refuses. The notes say who waits for what, and where words stand. Common "
        "causes: a receive without its send, a route that ends elsewhere, or two PEs that each send more than the "
        "queues between them hold before they receive.",
    ),
    "M0501": Entry(
        "There is no report before the first run",
        "A compiled model's `report()` is that of its last run; `run(...)` comes first.",
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
        "A program may leave integers to the run, such as the length of the prompt, each within bounds that it states. "
        "Regions between which routes lead share those of one name.",
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
    "M0526": Entry(
        "an until has no bound in a timing-only run",
        "An `until` ends on a value that the program computes, and a timing-only run (--timing-only) computes none. "
        "--until-rounds N says how many rounds every `until` is to take; the cycles are then those of N rounds.",
    ),
    "M0527": Entry(
        "a timing-only run has no outputs",
        "--timing-only keeps the time of every instruction and word and computes no values, so --outputs and --expect "
        "have nothing to write or to compare.",
    ),
    "M0528": Entry(
        "the build has no weights",
        "It was compiled from a model without weights, as a timing-only build: `meshc run --timing-only` gives its "
        "cycles. Compile the model with its weights to have values.",
    ),
    "M0530": Entry(
        "the run took more cycles than --max-cycles allows",
        "The emulated clock passed the limit before the program ended, so the run was stopped; exit status 3. The "
        "limit is there to end a search early. Without --max-cycles a run ends when its program does.",
    ),
    "M0531": Entry(
        "the reference engine has no room for this machine or program",
        "It emulates words of 4 bytes, and up to 63 colors in one program. The batched engine has no such limits.",
    ),
    "M0532": Entry(
        "a word arrived damaged",
        "With `--checked` the reference engine gives every word a checksum of its value, its sender and its place in "
        "its move, and the receive that takes it compares. This one was changed on its way: a fault of the fabric, "
        "not of the program.",
    ),
    "M0533": Entry(
        "a word was lost on its way",
        "With `--checked` the reference engine numbers the words of every move. A receive got one that does not follow "
        "the one before: some were lost between routers: a fault of the fabric, not of the program.",
    ),
    "M0536": Entry(
        "a link carries nothing",
        "The run stands still, yet a word waits for a link although the queue behind it has room: the link is broken. "
        "The message names it and the cycle from which on nothing moved. In a deadlock of the program (M0500) every "
        "word that waits finds its queue full, or a router that refuses it.",
    ),
    "M0537": Entry(
        "a link lost a word",
        "With --checked every link counts the words that go over it and those that arrive. Here fewer arrived. Where "
        "words follow on the same color, the receive that takes them notices the gap first (M0533).",
    ),
    "M0538": Entry(
        "a PE has stopped",
        "The PE issues no more instructions, though its code has not ended and it waits for nothing. The notes say who "
        "waits for its words.",
    ),
    "M0539": Entry(
        "a queue overflows",
        "A router's queue of one color and port holds `queue_words` words, and a link sends only where there is room. "
        "This link sent nevertheless.",
    ),
    "M0540": Entry(
        "an instruction reaches past the end of the SRAM",
        "Every byte that an instruction reads or writes lies in its PE's SRAM. This PE's ends earlier than the program "
        "was compiled for.",
    ),
    "M0541": Entry(
        "this engine injects no faults",
        "Faults act on single words, links and cycles, which only the reference engine knows.",
    ),
    "M0542": Entry(
        "a fault has no place in this program",
        "A fault names a PE of one of the program's regions, a side of its router (N, E, S, W, IN or OUT), and a cycle "
        "of 0 or more.",
    ),
    "M0543": Entry(
        "the build writes no text",
        "Text is written by builds of the phases generate and decode (`meshc compile --phase generate`), which keep a "
        "cache of what came before and feed each token back. A build of the phase prefill works on whole prompts and "
        "no more: --prompt shows what its logits say of the next token.",
    ),
    "M0544": Entry(
        "a token id is unknown to the model",
        "Ids count the entries of the model's vocabulary from 0 on. This one lies outside, so that no row of the token "
        "table has it: the ids come from another model's tokenizer, or from one with tokens that were added since.",
    ),
    "M0545": Entry(
        "the context is full before the text is written",
        "A build that writes text has room for `--context` tokens, prompt and answer together; at every step the "
        "caches take one more. The run ended when they were full, before a token was lost. What was written until then "
        "is kept.",
    ),
    "M0546": Entry(
        "how tokens are to be chosen does not fit",
        "Without options the likeliest token is chosen. --top-k K chooses among the K likeliest by chance, with the "
        "probabilities of the logits over --temperature X, from the random numbers of --seed N. The build says how "
        "many tokens it can choose from, and how many stop ids it takes.",
    ),
    "M0547": Entry(
        "more prompts than the build takes at once",
        "The batch of a build is fixed when it is compiled (--batch); all its sequences go on together, token by "
        "token. Fewer prompts than that are fine.",
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
}
