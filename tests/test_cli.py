"""The command `netgraph`: help, inspect, doctor, bench, and errors that are sentences."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import prune_adapters as pa
from cli_calls import NETS, called, document, folder_of_nets, good
from prune_adapters.cli.errors import CommandError

COMMANDS = ("inspect", "regular", "prune", "sweep", "compact", "export", "bench", "doctor")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_nets(tmp_path, monkeypatch)


def spoken(*line: str, code: str = "from prune_adapters.cli import main; main()") -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=False)


def test_help_names_every_command_and_waits_for_no_library() -> None:
    code = "import sys, prune_adapters.cli as c; c.app(['--help'], standalone_mode=False); print(*sys.modules)"
    shown, _, loaded = spoken(code=code).stdout.rpartition("\n\n")

    assert {"torch", "numpy", "netgraph", "matplotlib"} & set(loaded.split()) == set()
    assert [name for name in COMMANDS if f"  {name}" not in shown] == []


@pytest.mark.parametrize("command", [*COMMANDS, "sweep run", "sweep status", "sweep plot"])
def test_every_command_has_help_in_one_sentence_and_json(command: str) -> None:
    shown = good(*command.split(), "--help").stdout

    assert shown.startswith(f"Usage: netgraph {command} ")
    assert "--json" in shown or command == "sweep"


def test_the_module_runs_as_the_command() -> None:
    line = [sys.executable, "-m", "prune_adapters.cli", "regular", "-n", "10", "-d", "3", "--steps", "0", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["edges"] == 15


def test_a_process_that_fails_says_so_in_a_line() -> None:
    done = spoken("regular", "-n", "8", "-d", "3", "--draw", "ring.gif")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --draw ring.gif: expected a name that ends in .pdf, .png, .svg\n"


def test_a_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_NETGRAPH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "netgraph ins")
    monkeypatch.setenv("COMP_CWORD", "1")

    assert spoken().stdout.split() == ["inspect"]


def test_version_is_told() -> None:
    assert good("--version").stdout.startswith("netgraph ")


def test_inspect_prints_the_report_of_a_model() -> None:
    shown = good("inspect", "nets.py:net", "--input", "1x8", "--why", "2[1]", "--collapse").stdout

    assert "0         16    16" in shown
    assert "2[1] is live" in shown
    assert "2.weight[0, 11] cuts the last path" in shown


def test_inspect_json_holds_the_report_and_the_reasons() -> None:
    found = document("inspect", "nets:pair", "--why", "0[2]", "--collapse")

    assert found["connected"]
    assert [row["units"] for row in found["layers"]] == [8, 16, 4]
    assert found["states"] == {"0[2]": "live"}
    assert 0.79 < found["collapses_beyond"] < 0.81


def test_a_network_that_is_cut_fails_only_where_that_is_asked_for() -> None:
    assert not document("inspect", "nets.py:cut")["connected"]
    assert called("inspect", "nets.py:cut", "--fail-if-cut").exit_code == 1
    assert called("inspect", "nets.py:pair", "--fail-if-cut").exit_code == 0


def test_inspect_reads_a_checkpoint_with_masks_and_a_threshold(here: Path) -> None:
    weights = {"0.weight": torch.ones(16, 8), "0.bias": torch.zeros(16), "2.bias": torch.zeros(4)}
    weights["2.weight"] = torch.cat([torch.full((4, 4), 0.1), torch.ones(4, 12)], dim=1)
    weights["2.weight"][:, 4:6] = 0
    save_file(weights, here / "model.safetensors")
    pa.save_masks(here / "masks.safetensors", {"2.weight": torch.arange(16).expand(4, 16) < 8})
    line = ("inspect", "nets.py:net", "--input", "1x8", "--checkpoint", "model.safetensors")
    kept = [
        document(*line, *more)["total"]["kept"]
        for more in ([], ["--threshold", "0.5"], ["--masks", "masks.safetensors"])
    ]

    assert kept == [128 + 56, 128 + 40, 128 + 24]
    assert 0.0 < document(*line, "--collapse")["collapses_beyond"] < 1.0


def test_python_that_depends_on_values_is_followed_if_asked_for(here: Path) -> None:
    save_file({"fc.weight": torch.eye(8)[:4].clone(), "fc.bias": torch.zeros(4)}, here / "fc.safetensors")
    line = ("inspect", "nets.py:choosing", "--checkpoint", "fc.safetensors")

    assert "follow='example'" in called(*line).stderr
    assert document(*line, "--follow-example")["total"]["kept"] == 4


def test_inspect_reads_a_program(here: Path) -> None:
    names: dict = {}
    exec(NETS, names)
    model, x = names["pair"]()
    program = torch.export.export(model, (x,))
    torch.export.save(program, here / "net.pt2")
    program.example_inputs = None
    torch.export.save(program, here / "bare.pt2")

    for file in ("net.pt2", "bare.pt2"):
        assert document("inspect", file)["total"]["kept"] == 192


def test_inspect_writes_html_if_there_is_such_a_room(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Room:
        @staticmethod
        def html_report(graph: object, *, compare: object, title: str) -> str:
            return f"<html>{title}</html>"

    monkeypatch.setitem(sys.modules, "prune_adapters.html", Room)
    good("inspect", "nets.py:pair", "--html", "report.html")

    assert (here / "report.html").read_text() == "<html>nets.py:pair</html>"
    assert "exists; --force" in called("inspect", "nets.py:pair", "--html", "report.html").stderr
    good("inspect", "nets.py:pair", "--html", "report.html", "--force")
    monkeypatch.setitem(sys.modules, "prune_adapters.html", None)
    assert "has no HTML reports" in called("inspect", "nets.py:pair", "--html", "other.html").stderr


def test_doctor_says_what_is_native_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from prune_adapters.cli import doctor

    monkeypatch.setitem(doctor.EXTRAS, "models", ("torchvision_that_is_not_there",))
    found = document("doctor")

    assert found["torch"] == torch.__version__
    assert found["graph kernels"].startswith(("native", "numpy"))
    assert "pip install 'netgraph-pruning[models]'" in good("doctor").stdout


def test_bench_has_times_and_ratios() -> None:
    rows = document("bench", "--quick")["rows"]

    assert len(rows) == 5
    assert all(row["ours"] > 0 and row["ratio"] == row["plain"] / row["ours"] for row in rows)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("inspect", "Missing argument 'MODEL'"),
        ("inspekt nets.py:net", "inspect"),
        ("inspect nets.py:pair --threshold big", "'--threshold'"),
        ("inspect resnet50", "expected torchvision:NAME"),
        ("inspect nets.py", "expected torchvision:NAME"),
        ("inspect torchvision:", "expected a name behind torchvision:"),
        ("inspect nets.py:met --input 1x8", "did you mean net?"),
        ("inspect nets.py:net", "give --input 1x3x224x224"),
        ("inspect nets.py:net --input 1y8", "expected sizes joined by x"),
        ("inspect nets.py:net --input 1x0", "expected sizes joined by x"),
        ("inspect nets.py:net --input 1x9", "does not run"),
        ("inspect nets.py:nothing --input 1x8", "returns a model or (model, example_inputs), got int"),
        ("inspect nets.py:broken --input 1x8", "nets.py:broken failed: RuntimeError: out of paper"),
        ("inspect bad.py:net --input 1x8", "bad.py cannot be imported: SyntaxError"),
        ("inspect needy.py:net --input 1x8", "a_library_of_nobody"),
        ("inspect a_library_of_nobody:net --input 1x8", "pip install a_library_of_nobody"),
        ("inspect nowhere.pt2", "nowhere.pt2: there is no such file"),
        ("inspect nets.pt2", "torch.export cannot read it"),
        ("inspect nets.py:pair --checkpoint nowhere.pt", "nowhere.pt: No such file or directory"),
        ("inspect nets.py:pair --checkpoint nets.py", "nets.py"),
        ("inspect nets.py:pair --masks nets.py", "nets.py: damaged, or no file of save_masks"),
        ("inspect nets.py:pair --masks nowhere", "nowhere: No such file or directory"),
        ("inspect nets.py:pair --threshold -1", "--threshold: expected a number of at least 0, got -1.0"),
        ("inspect nets.py:pair --why 7[0]", "7"),
        ("inspect nets.py:pair --why 2[9]", "2"),
        ("inspect nets.py:pair --why 2", "2"),
        ("inspect nets.py:pair --html nofolder/a.html", "there is no folder nofolder"),
        ("inspect nets.py:pair --html .", "expected the name of a file to write, got a folder"),
        ("inspect nets.py:pair --compare nets.py", "--compare: expected --html FILE"),
    ],
)
def test_a_bad_line_ends_in_a_sentence(line: str, told: str, here: Path) -> None:
    (here / "bad.py").write_text("def net(:\n")
    (here / "needy.py").write_text("import a_library_of_nobody\n")
    (here / "nets.pt2").write_text("nothing")
    result = called(*line.split())

    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


def test_debug_lets_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETGRAPH_DEBUG", "1")
    result = called("inspect", "nets.py:met", "--input", "1x8")

    assert isinstance(result.exception, CommandError)
