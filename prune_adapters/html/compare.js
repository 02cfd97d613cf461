// How the masks of two graphs differ.

const differenceColumns = (first, second) => [
  nameColumn,
  count("weights", "weights", "weights into the layer, each use"),
  count("first", first, "kept by the first graph"),
  count("second", second, "kept by the second graph"),
  count("both", "both", "kept by both"),
  { label: "Jaccard", title: "kept by both, of what any keeps", value: (row) => row.jaccard, text: (row) => jaccardText(row.jaccard) },
  { label: "by chance", title: "what two random masks of these sizes would have", value: (row) => row.by_chance, text: (row) => jaccardText(row.by_chance) },
  count("dead_first", `dead, ${first}`, "dead units in the first graph", true),
  count("dead_second", `dead, ${second}`, "dead units in the second graph", true),
];

const jaccardText = (value) => (value === null ? "-" : value.toFixed(3));

function drawDifference() {
  const { difference, graphs } = DATA;
  if (!difference) return;
  byId("difference").hidden = false;
  const { total } = difference;
  const [first, second] = graphs.map((one) => one.name);
  byId("overlap").replaceChildren(
    `${first} keeps ${number(total.first)} weights, ${second} ${number(total.second)}; ${number(total.both)} are kept by both. `,
    el("b", {}, `Overlap (Jaccard) ${jaccardText(total.jaccard)}`), `; two random masks of these sizes would have ${jaccardText(total.by_chance)}.`);
  const layers = graphs.map((one) => new Map(one.layers.map((layer) => [layer.name, layer])));
  const rows = difference.layers.map((row) => ({ ...row, dead_first: layers[0].get(row.name).dead, dead_second: layers[1].get(row.name).dead }));
  drawTable(byId("difference-table"), differenceColumns(first, second), rows, {});
  drawJaccard(rows);
  drawShift(rows.map((row) => ({ name: row.name, from: layers[0].get(row.name).effective_sparsity, to: layers[1].get(row.name).effective_sparsity })), first, second);
}

function drawJaccard(rows) {
  const place = byId("jaccard");
  const tick = (x, y) => svg("line", { class: "tick", x1: x, x2: x, y1: y - 6, y2: y + 6 });
  setLegend(place, legendLine(dot(), "Jaccard index"), legendLine(tick(11, 7), "random masks of these sizes"));
  const ticks = [[0, "0"], [0.25, "0.25"], [0.5, "0.5"], [0.75, "0.75"], [1, "1"]];
  rowChart(place, rows, ticks, (row, at, y) => [
    row.by_chance === null ? null : tick(at(row.by_chance), y),
    row.jaccard === null ? null : svg("circle", { class: "f-live", cx: at(row.jaccard), cy: y, r: 4 }),
  ]);
}

function drawShift(rows, first, second) {
  const scale = nines(rows.flatMap((row) => [row.from, row.to]));
  const place = byId("shift");
  setLegend(place, legendLine(dot(), first), legendLine(ring(), second));
  rowChart(place, rows, scale.ticks, (row, at, y) => dumbbell(scale.at(row.from), scale.at(row.to), at, y));
}
