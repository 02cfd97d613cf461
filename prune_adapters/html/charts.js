// Plots as inline SVG: one row a layer, and histograms.

const ROW = { height: 19, top: 22 };

// Draws one row a layer under an axis; `mark` returns what stands in a row between `left` and `right`.
function rowChart(place, rows, axis, mark) {
  const width = Math.max(place.clientWidth, 240);
  const left = Math.min(174, width * 0.38);
  const right = width - 46;
  const height = rows.length * ROW.height + 4;
  const at = (share) => left + share * (right - left);
  const letters = Math.floor((left - 12) / 6.4);
  const shown = spacedOut(axis, at);
  const ticks = shown.map(([share]) => svg("line", { class: "grid", x1: at(share), x2: at(share), y1: 0, y2: height }));
  const texts = shown.map(([share, text]) => svg("text", { class: "soft", x: at(share), y: 15, "text-anchor": "middle" }, text));
  const lines = rows.map((row, index) => {
    const y = index * ROW.height;
    const group = svg("g", { class: "row" },
      svg("rect", { class: "band", x: 0, y, width, height: ROW.height }),
      svg("text", { x: left - 12, y: y + 13.5, "text-anchor": "end" }, shortened(row.name, letters)),
      mark(row, at, y + ROW.height / 2),
      svg("title", {}, row.name));
    group.addEventListener("click", (event) => {
      const layer = graph().layers.find((other) => other.name === row.name);
      showTip(layerTip(layer, true), { x: event.clientX, y: event.clientY }, true);
      event.stopPropagation();
    });
    return group;
  });
  // The axis is a picture of its own, which stays on top while the rows scroll.
  place.replaceChildren(
    el("div", { class: "axis" }, svg("svg", { width, height: ROW.top, "aria-hidden": "true" }, texts)),
    svg("svg", { width, height, role: "group" }, ticks, lines));
}

// Leaves out the ticks that would run into another; the first and the last stay.
function spacedOut(axis, at) {
  const inOrder = [...axis].sort((a, b) => a[0] - b[0]);
  const last = inOrder.pop();
  const kept = [];
  for (const tick of inOrder) {
    const room = (other) => Math.abs(at(tick[0]) - at(other[0])) >= 42;
    if (!kept.length || (room(kept.at(-1)) && room(last))) kept.push(tick);
  }
  return [...kept, last];
}

// A scale on which 0 %, 90 %, 99 %, 99.9 % are equally far apart; 100 % stands apart at its end.
function nines(shares) {
  const least = Math.min(1, ...shares.filter((share) => share !== null && share < 1).map((share) => 1 - share));
  const decades = Math.max(1, Math.ceil(-Math.log10(least) - 1e-9));
  const end = 0.84;
  const at = (share) => (share >= 1 ? 1 : (end * -Math.log10(1 - share)) / decades);
  const texts = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
  const ticks = texts.slice(0, decades + 1).map((text, nine) => [at(1 - 10 ** -nine), text]);
  if (decades <= 2) ticks.push([at(0.5), "50 %"]);
  return { at, ticks: [...ticks, [1, "100 %"]] };
}

function dumbbell(from, to, at, y) {
  return [
    svg("line", { class: "link", x1: at(from), x2: at(to), y1: y, y2: y }),
    svg("circle", { class: "ring", cx: at(to), cy: y, r: 5 }),
    svg("circle", { class: "f-live", cx: at(from), cy: y, r: 3.5 }),
  ];
}

function legendLine(mark, text) {
  return el("li", {}, svg("svg", { width: 22, height: 14, viewBox: "0 0 22 14" }, mark), text);
}

const dot = () => svg("circle", { class: "f-live", cx: 11, cy: 7, r: 3.5 });
const ring = () => svg("circle", { class: "ring", cx: 11, cy: 7, r: 5 });
const square = (kind) => svg("rect", { class: `f-${kind}`, x: 4, y: 2, width: 14, height: 10, rx: 2 });

// The legend stands under a plot's caption, so that it stays while the rows scroll.
function setLegend(place, ...lines) {
  const caption = place.parentElement.querySelector("figcaption");
  caption.querySelectorAll("ul").forEach((old) => old.remove());
  caption.append(el("ul", { class: "legend" }, lines));
}

function drawSparsity() {
  const rows = graph().layers.filter((layer) => layer.weights);
  const scale = nines(rows.flatMap((row) => [row.sparsity, row.effective_sparsity]));
  const place = byId("sparsity");
  setLegend(place, legendLine(dot(), "direct: removed"), legendLine(ring(), "effective: not on a path"));
  rowChart(place, rows, scale.ticks, (row, at, y) => dumbbell(scale.at(row.sparsity), scale.at(row.effective_sparsity), at, y));
}

function drawUnits() {
  const place = byId("units");
  setLegend(place, ...["live", "constant", "dead"].map((kind) => legendLine(square(kind), kind)));
  const ticks = [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]];
  rowChart(place, graph().layers, ticks, (row, at, y) => {
    let before = 0;
    const bars = ["live", "constant", "dead"].map((kind) => {
      const own = row[kind] / Math.max(row.units, 1);
      const bar = svg("rect", { class: `f-${kind}`, x: at(before), width: at(before + own) - at(before), y: y - 6, height: 12 });
      before += own;
      return bar;
    });
    return [...bars, svg("text", { class: "soft", x: at(1) + 6, y: y + 4 }, number(row.units))];
  });
}

const binName = (bin) => (bin < 3 ? String(bin) : `${2 ** (bin - 2) + 1}\u2013${2 ** (bin - 1)}`);

function histogram(place, bins) {
  const width = Math.max(place.clientWidth, 240);
  const [height, foot, top] = [190, 34, 18];
  const most = Math.max(1, ...bins);
  const step = Math.min(96, (width - 8) / Math.max(bins.length, 1));
  const crowded = step < 46;
  const bars = bins.map((units, bin) => {
    const tall = units ? Math.max(2, ((height - foot - top) * units) / most) : 0;
    const x = 4 + bin * step;
    const label = { class: "soft", x: x + step / 2, y: height - foot + 15, "text-anchor": crowded ? "end" : "middle" };
    if (crowded) label.transform = `rotate(-38 ${x + step / 2} ${height - foot + 12})`;
    return svg("g", {},
      svg("rect", { class: bin ? "f-live" : "f-warn", x: x + 2, y: height - foot - tall, width: step - 4, height: tall, rx: 2 }),
      svg("text", { class: "soft", x: x + step / 2, y: height - foot - tall - 4, "text-anchor": "middle" }, units ? compact(units) : ""),
      svg("text", label, binName(bin)),
      svg("title", {}, `${number(units)} unit${units === 1 ? "" : "s"} of degree ${binName(bin)}`));
  });
  const drop = crowded ? 18 : 0;
  const axis = svg("line", { class: "grid", x1: 0, x2: width, y1: height - foot + 0.5, y2: height - foot + 0.5 });
  place.replaceChildren(svg("svg", { width, height: height + drop, viewBox: `0 0 ${width} ${height + drop}`, role: "img" }, axis, bars));
}

const compact = (units) => (units < 10000 ? number(units) : `${(units / 1000).toFixed(units < 100000 ? 1 : 0)}k`);

function drawDegrees() {
  const chosen = byId("which").value;
  for (const side of ["in", "out"]) {
    const layers = graph().layers.filter((layer) => layer[side] && (chosen === "all" || layer.name === graph().layers[Number(chosen)].name));
    const bins = [];
    for (const layer of layers) layer[side].bins.forEach((units, bin) => { bins[bin] = (bins[bin] || 0) + units; });
    const none = side === "in" ? "No weights enter this layer." : "No weights leave this layer.";
    const what = side === "in" ? "In-degree: kept edges into a unit" : "Out-degree: kept edges out of a unit";
    byId(`${side}-caption`).replaceChildren(layers.length ? what : none);
    if (layers.length) histogram(byId(`${side}-degrees`), Array.from(bins, (units) => units || 0));
    else byId(`${side}-degrees`).replaceChildren();
  }
}
