"""``meshc kernels``."""

from __future__ import annotations

import json

from meshc.cli.main import status_of_line
from meshrt.entry_points import entry_points


def test_every_registered_kernel_is_listed_under_its_registered_name(capsys):
    assert status_of_line(["kernels"]) == 0
    out = capsys.readouterr().out
    names = {*entry_points("meshc.kernels"), *entry_points("meshc.collectives")}
    assert "gemm.ring" in names
    assert "all_reduce.auto" in names
    assert all(f" {name} " in out for name in names)
    assert status_of_line(["kernels", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == names
    assert all(row["meaning"] for row in rows)
    operations = {row["operation"] for row in rows}
    assert {each for each in operations if "." not in each} == {"all_reduce", "broadcast", "reduce"}


def test_products_say_how_they_grow_with_the_grid(capsys):
    assert status_of_line(["kernels", "--json"]) == 0
    rows = {row["name"]: row["scaling"] for row in json.loads(capsys.readouterr().out)}
    assert rows["gemm.ring"]["hops"] == "2"
    assert rows["gemm.cannon"]["hops"] == "N - 1"
    assert rows["gemm.summa"]["paths"] == rows["gemm.all_gather"]["paths"] == "O(N)"
