"""The report of an export: sizes and times before and after, and what is missing."""

import copy
import os

import torch
from torch import nn

import prune_adapters as pa
from exported import Counting, needs_onnx
from prune_adapters.export import onnx_file
from prune_adapters.export.onnx_file import missing_libraries


def test_a_report_tells_before_and_after():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    masks = {"0.weight": torch.rand(100, 64) < 0.1, "2.weight": torch.rand(10, 100) < 0.1}
    masked = pa.apply_masks(copy.deepcopy(dense), masks)
    report = pa.export_report(dense, masked, torch.ones(2, 64), repeats=2)
    rows = {row.name: row for row in report.rows}
    n_kept = pa.count_parameters(masked)[1]

    assert (rows["parameters"].before, rows["parameters"].after) == (7510, 7510)
    assert (rows["parameters not 0"].before, rows["parameters not 0"].after) == (7510, n_kept)
    assert (rows["multiply-adds"].before, rows["multiply-adds not 0"].after) == (2 * 7400, 2 * (n_kept - 110))
    assert rows["safetensors"].ratio == 1
    assert rows["sparse safetensors"].ratio > 5
    assert rows["safetensors, zipped"].ratio > 3
    assert 0 < rows["torch"].after < 1
    assert report.to_dict()["rows"][0] == {
        "name": "parameters",
        "unit": "",
        "before": 7510,
        "after": 7510,
        "ratio": 1.0,
    }
    lines = str(report).splitlines()
    assert lines[0].split() == ["figure", "before", "after", "ratio"]
    assert lines[len(rows) + 1].startswith("times: cpu (")
    assert ("onnxruntime" in rows) == ("ONNX" in rows) == (not missing_libraries())


def test_a_table_prints_three_digits_in_the_unit_of_the_larger_side():
    rows = [
        *(pa.ExportRow("count", "", 12345678, 9), pa.ExportRow("file", "bytes", 46758912, 65432)),
        *(pa.ExportRow("small file", "bytes", 12, None), pa.ExportRow("time", "s", 0.0464, 0.000149)),
        *(pa.ExportRow("short", "s", 4.7e-5, 0.0), pa.ExportRow("none", "s", None, None)),
    ]
    lines = str(pa.ExportReport("a machine", tuple(rows))).splitlines()

    assert [line.split("  ")[0] for line in lines] == ["figure", *(row.name for row in rows), "times: a machine"]
    assert [" ".join(line.removeprefix(row.name).split()) for line, row in zip(lines[1:], rows, strict=False)] == [
        "12,345,678 9 1371742.00x",
        "46.8 MB 0.065 MB 714.62x",
        "0.012 kB - -",
        "46.4 ms 0.149 ms 311.41x",
        "47.0 us 0.000 us -",
        "- - -",
    ]


def test_a_report_goes_on_without_the_libraries(monkeypatch):
    monkeypatch.setattr(onnx_file, "_is_there", lambda name: False)
    report = pa.export_report(nn.Linear(4, 4), nn.Linear(4, 2), torch.ones(1, 4), latency=False)

    assert report.notes == (
        "onnx, onnxscript, onnxruntime not installed: no ONNX; pip install netgraph-pruning[export]",
    )
    assert not any("ONNX" in row.name for row in report.rows)


@needs_onnx
def test_a_report_says_which_network_cannot_be_exported():
    report = pa.export_report(nn.Linear(4, 4), Counting(), torch.ones(1, 4), latency=False)
    rows = {row.name: row for row in report.rows}

    assert rows["ONNX"].after is None
    assert rows["ONNX"].ratio is None
    assert report.notes[0].startswith("pruned: export_onnx: output 0 on the example inputs differs")
    assert os.linesep not in report.notes[0]
