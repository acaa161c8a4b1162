"""``manifest.json`` of a build: what the program computes, from what it was made, and digests.

The schema has a version (``meshc.build/1``). The runtime takes from it the names, shapes
and dtypes of inputs and outputs and the ports that carry them; everything else is
provenance for reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from meshrt.diagnostics import MeshError, Place

MANIFEST_SCHEMA = "meshc.build/1"


@dataclass(frozen=True, slots=True)
class TensorBinding:
    """An input or output of the model and the host port that carries it.

    ``name`` is the user's name, ``dtype`` the user's (``i64``, ``f32``, ..), ``shape`` the
    largest that the build takes. ``port`` names a port of region ``region`` of the program;
    an input goes to the ports of that name in all regions.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    region: str
    port: str


@dataclass(frozen=True, slots=True)
class ScalarBinding:
    """A runtime scalar of a region: it takes the extent of one dimension of an input as given to the run."""

    region: str
    scalar: str
    input: str
    dimension: int


@dataclass(frozen=True, slots=True)
class ChanceBinding:
    """The runtime scalars of a build that can choose tokens by chance.

    ``top_k`` is how many of the likeliest to choose from, up to ``most``; ``temperature`` is ``unit`` for 1;
    ``seed`` is that of the random numbers.
    """

    top_k: str
    temperature: str
    seed: str
    most: int
    unit: int


@dataclass(frozen=True, slots=True)
class DecodeBinding:
    """How a build writes text: what the runtime sets, and where the tokens come out.

    Input ``prompts`` holds the prompts' ids, [batch, ``prompt``]; of region ``region`` each scalar of
    ``lengths`` is the tokens of one of them, and scalar ``steps`` the tokens that the program works
    on, of prompt and answer together, at most ``context``. Output ``tokens`` holds, [batch,
    context], for each position the token that follows it by the model, of which there are
    ``vocabulary``. Scalars ``stops`` take ids that end a sequence, or -1.

    A build of the phase generate also has a region ``prefill``, which takes the same prompts and works on all
    their tokens at once: scalar ``first`` of both regions says how many tokens of every prompt come to the
    caches from there. It is the position of the first step; ``tokens`` holds nothing for those before.
    """

    region: str
    prompts: str
    tokens: str
    lengths: tuple[str, ...]
    steps: str
    prompt: int
    context: int
    vocabulary: int
    stops: tuple[str, ...] = ()
    chance: ChanceBinding | None = None
    first: str | None = None
    prefill: str | None = None

    def defaults(self) -> dict[str, int]:
        """The scalars of a run that is told nothing of them: the likeliest tokens, and no id ends a sequence."""
        chance = self.chance
        chosen = {chance.top_k: 1, chance.temperature: chance.unit, chance.seed: 0} if chance is not None else {}
        return dict.fromkeys(self.stops, -1) | chosen

    def starts(self, scalars: Mapping[str, int]) -> int:
        """At which position the steps of a run with these scalars begin: of the shortest prompt's last token where
        the region ``prefill`` works on those before.
        """
        return min(scalars[length] for length in self.lengths) - 1 if self.first is not None else 0


@dataclass(frozen=True, slots=True)
class FileDigest:
    """SHA-256 (hexadecimal) and size of a file of the build."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest; the digests of files and target are filled in when the build is written.

    ``scalars`` are those that follow from the extents of inputs; ``decode`` is there in builds of
    that phase. ``timing_only`` marks a build without weights. ``options`` are the compiler's, ``versions``
    those of the tools, ``details`` what else the compiler reports (padding, for example);
    all three are JSON values.
    """

    model: str
    model_digest: str
    phase: str
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    scalars: tuple[ScalarBinding, ...] = ()
    decode: DecodeBinding | None = None
    timing_only: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    target_digest: str = ""
    files: Mapping[str, FileDigest] = field(default_factory=dict)


def manifest_to_json(manifest: Manifest) -> str:
    """The text of ``manifest.json``: keys in a fixed order, two spaces of indentation."""
    data = {"schema": MANIFEST_SCHEMA, **asdict(manifest)}
    for name in ("options", "versions", "details", "files"):
        data[name] = _sorted(data[name])
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def manifest_from_json(text: str, file: str = "manifest.json") -> Manifest:
    """Read the text of ``manifest.json``. Raises M0352 where it is damaged or of another version."""
    place = Place(file)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1] if text else ""
        place = Place(file, error.lineno, error.colno, line)
        raise MeshError("M0352", "the manifest is not JSON", place=place) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != MANIFEST_SCHEMA:
        raise MeshError(
            "M0352",
            f"the manifest has schema {schema!r}; this runtime reads {MANIFEST_SCHEMA!r}",
            place=place,
            helps=["compile the model again with the meshc that belongs to this runtime"],
        )
    fields = {key: value for key, value in data.items() if key != "schema"}
    try:
        fields["inputs"] = tuple(_tensor(entry) for entry in fields["inputs"])
        fields["outputs"] = tuple(_tensor(entry) for entry in fields["outputs"])
        fields["scalars"] = tuple(ScalarBinding(**entry) for entry in fields["scalars"])
        if fields.get("decode") is not None:
            fields["decode"] = _decode(fields["decode"])
        fields["files"] = {name: FileDigest(**entry) for name, entry in fields["files"].items()}
        return Manifest(**fields)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        detail = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise MeshError("M0352", "the manifest is not a whole one", place=place, notes=[detail]) from error


def _tensor(entry: dict[str, Any]) -> TensorBinding:
    return TensorBinding(**{**entry, "shape": tuple(entry["shape"])})


def _decode(entry: dict[str, Any]) -> DecodeBinding:
    chance = ChanceBinding(**entry["chance"]) if entry.get("chance") is not None else None
    lists = {name: tuple(entry[name]) for name in ("lengths", "stops")}
    return DecodeBinding(**{**entry, **lists, "chance": chance})


def _sorted(value: Any) -> Any:
    """Mappings by key at every depth, so that the order in which they were filled does not show."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
