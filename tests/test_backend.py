"""The networkx backend, found by its entry points in a fresh interpreter: answers, errors and tests of networkx."""

import os
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from netgraph.backend import convert_from_nx, convert_to_nx

ROOT = Path(__file__).parents[1]
CHECKS = """
import networkx as nx

def both(function, *args, **kwargs):
    answers = []
    for backend in ("networkx", "netgraph"):
        try:
            found = getattr(nx, function)(*args, backend=backend, **kwargs)
            found = found if isinstance(found, (dict, set, int, float)) else dict(found)
            answers.append((found, str(found) if isinstance(found, dict) else None))  # nodes come in the same order
        except Exception as error:
            answers.append((type(error), str(error)))
    assert answers[0] == answers[1], (function, answers)

nx.config.warnings_to_ignore.add("cache")
random = [nx.gnp_random_graph(n, 2.5 / n, seed=n, directed=d) for n in (1, 2, 40, 700) for d in (False, True)]
whole = [nx.cycle_graph(9, nx.DiGraph), nx.gnm_random_graph(60, 300, seed=1), nx.MultiGraph([("a", "b"), ("b", "a")])]
for G in [*random, *whole, nx.Graph([(0, 0), (0, 1)])]:
    for function in ("average_shortest_path_length", "diameter", "all_pairs_shortest_path_length"):
        both(function, G)
    both("all_pairs_shortest_path_length", G, cutoff=2)
    for node in [*list(G)[:3], "absent"]:
        for function in ("single_source_shortest_path_length", "descendants", "ancestors"):
            both(function, G, node)
        both("single_source_shortest_path_length", G, node, cutoff=1)
both("average_shortest_path_length", nx.Graph())

G = whole[1]
for kwargs in ({"weight": "length"}, {"usebounds": True}, {"e": nx.eccentricity(G)}):
    try:
        nx.diameter(G, backend="netgraph", **kwargs)
        raise SystemExit(f"{kwargs} ran")
    except NotImplementedError:
        pass
assert nx.average_shortest_path_length(G, method="unweighted", backend="netgraph") > 1
H = nx.utils.backends._load_backend("netgraph").convert_from_nx(G)
assert nx.diameter(H) == nx.diameter(G)
print("same")
"""
OWN = (
    "average_shortest or average_path or diameter or all_pairs_shortest_path_length or "
    "single_source_shortest_path_length or descendants or ancestors"
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """An environment in which Python finds the sources with the entry points of pyproject.toml, installed or not."""
    tomllib = pytest.importorskip("tomllib")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    folder = tmp_path_factory.mktemp("site")
    metadata = folder / "netgraph_pruning-0.1.0.dist-info"
    metadata.mkdir()
    lines = []
    for name, group in groups.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in group.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: netgraph-pruning\nVersion: 0.1.0\n")
    # In front of an installed package of the same name, whose metadata it hides.
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def run(environment: dict[str, str], folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_answers_and_errors_are_those_of_networkx(environment, tmp_path):
    assert run(environment, tmp_path, "-c", CHECKS).strip() == "same"


def test_the_tests_of_networkx_pass(environment, tmp_path):
    where = [
        "networkx.algorithms.shortest_paths.tests.test_unweighted",
        "networkx.algorithms.shortest_paths.tests.test_generic",
        "networkx.algorithms.tests.test_distance_measures",
        "networkx.algorithms.tests.test_dag",
    ]
    modes = {"NETWORKX_TEST_BACKEND": "netgraph", "NETWORKX_FALLBACK_TO_NX": "1"}
    options = ["-q", "-p", "no:cacheprovider", "-k", OWN]
    summary = run(environment | modes, tmp_path, "-m", "pytest", *options, "--pyargs", *where).splitlines()[-1]

    assert int(summary.split()[0]) >= 20
    assert "failed" not in summary


@pytest.mark.slow
def test_all_tests_of_networkx_on_shortest_paths_pass(environment, tmp_path):
    where = ["networkx.algorithms.shortest_paths", "networkx.algorithms.tests.test_distance_measures"]
    modes = {"NETWORKX_TEST_BACKEND": "netgraph", "NETWORKX_FALLBACK_TO_NX": "1"}

    run(environment | modes, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", *where)


@pytest.mark.parametrize("directed", [False, True])
def test_graphs_survive_the_way_there_and_back(directed):
    G = nx.gnp_random_graph(30, 0.1, seed=3, directed=directed)
    graph = convert_from_nx(G)

    assert nx.utils.graphs_equal(convert_to_nx(graph), G)
    assert (len(graph), graph.is_directed(), graph.is_multigraph()) == (30, directed, False)
    assert (3 in graph, 30 in graph) == (True, False)
    np.testing.assert_array_equal(
        nx.to_numpy_array(convert_to_nx(graph.reverse)), nx.to_numpy_array(G).T if directed else nx.to_numpy_array(G)
    )
    assert convert_to_nx(5) == 5
