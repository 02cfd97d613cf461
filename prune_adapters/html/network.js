// The drawing of the layers: ranks run down in columns, as a text does, so that a deep network is read without zooming.

const NODE = { width: 152, height: 46, below: 24, beside: 12, gutter: 52 };
const PITCH = NODE.height + NODE.below;

// Returns the column of each rank, so that the columns fit into the width at a scale that can be read.
function columnsOfRanks(layers, connections, width) {
  const all = 1 + Math.max(0, ...layers.map((layer) => layer.rank));
  const crossed = sourcesAcross(layers, connections, all);
  for (let per = 1; per < all; per = Math.max(per + 1, 4)) {
    const found = broken(crossed, per);
    if (columnStarts(layers, found).at(-1) * 0.74 <= width) return found;
  }
  return Array(all).fill(0);
}

// Returns how many layers before each rank lead to that rank or past it.
function sourcesAcross(layers, connections, all) {
  const last = layers.map((layer) => layer.rank);
  for (const edge of connections) {
    if (!edge.feedback) last[edge.source] = Math.max(last[edge.source], layers[edge.target].rank);
  }
  const crossed = Array(all).fill(0);
  layers.forEach((layer, at) => {
    for (let rank = layer.rank + 1; rank <= last[at]; rank += 1) crossed[rank] += 1;
  });
  return crossed;
}

// A column ends where few lines are cut, between blocks rather than inside one.
function broken(crossed, per) {
  const columns = [];
  for (let start = 0, column = 0; start < crossed.length; column += 1) {
    let end = Math.min(start + per, crossed.length);
    if (end < crossed.length && per > 6) {
      for (let other = end - 1; other >= end - 4; other -= 1) if (crossed[other] < crossed[end]) end = other;
    }
    while (columns.length < end) columns.push(column);
    start = end;
  }
  return columns;
}

// Returns the left edge of each column, then the right edge of the last.
function columnStarts(layers, columns) {
  const widths = [];
  for (const layer of layers) {
    const own = (layer.lane + 1) * (NODE.width + NODE.beside) - NODE.beside + NODE.gutter;
    widths[columns[layer.rank]] = Math.max(widths[columns[layer.rank]] || 0, own);
  }
  return widths.reduce((starts, own) => [...starts, starts.at(-1) + own], [NODE.gutter / 2]);
}

function placed(layers, connections, width) {
  const columns = columnsOfRanks(layers, connections, width);
  const starts = columnStarts(layers, columns);
  const places = layers.map(({ rank, lane }) => {
    const column = columns[rank];
    return { column, x: starts[column] + lane * (NODE.width + NODE.beside), y: 16 + (rank - columns.indexOf(column)) * PITCH };
  });
  const height = Math.max(...places.map((place) => place.y)) + NODE.height + 16;
  return { places, width: starts.at(-1), height };
}

// Down to the next rank: a line. Past other ranks: an arc on the right. To another column: through the gutter.
function curve(from, to, feedback) {
  const { width, height, gutter } = NODE;
  const [top, middle] = [from.y + height, from.y + height / 2];
  if (feedback || from.column > to.column) {
    const [a, b, out] = [from.y + height / 2, to.y + height / 2, Math.min(from.x, to.x) - 26];
    return `M${from.x},${a}C${out},${a} ${out},${b} ${to.x},${b}`;
  }
  if (from.column !== to.column) {
    const end = to.y + height / 2;
    const [start, bend] = [from.x + width, (from.x + width + to.x) / 2];
    if (Math.abs(middle - end) < 1) return `M${start},${middle}H${to.x}`;
    const [turn, x] = [Math.sign(end - middle) * 8, to.x - gutter / 2];
    const before = bend > x ? bend : x;
    return `M${start},${middle}H${before - 8}q8,0 8,${turn}V${end - turn}q0,${turn} 8,${turn}H${to.x}`;
  }
  const far = to.y - from.y > PITCH + 1;
  if (!far) {
    const [x, next] = [from.x + width / 2, to.x + width / 2];
    const bend = (to.y - top) / 2;
    return `M${x},${top}C${x},${top + bend} ${next},${to.y - bend} ${next},${to.y}`;
  }
  const end = to.y + height / 2;
  if (from.x > to.x) {
    const x = from.x + width / 2;
    return `M${x},${top}V${end - 10}q0,10 -10,10H${to.x + width}`;
  }
  const out = Math.max(from.x, to.x) + width + Math.min(gutter - 12, 22 + 6 * ((to.y - from.y) / PITCH));
  return `M${from.x + width},${middle}C${out},${middle} ${out},${end} ${to.x + width},${end}`;
}

function lineWidth(edge, most) {
  return edge.edges ? 1.4 + 6 * Math.sqrt(edge.edges / Math.max(most, 1)) : 1.4;
}

const edgeKind = (edge) => (!edge.weights ? "fixed" : !edge.kept ? "gone" : !edge.consistent ? "idle" : "used");

function drawEdge(edge, at, places, most) {
  const path = curve(places[edge.source], places[edge.target], edge.feedback);
  return svg("g", { class: `edge ${edgeKind(edge)}`, "data-edge": at },
    svg("path", { class: "line", d: path, "stroke-width": lineWidth(edge, most).toFixed(2), "marker-end": `url(#head-${edgeKind(edge)})` }),
    svg("path", { class: "hit", d: path }));
}

const keptOf = (layer) => (layer.kept === layer.weights ? "all kept" : `${percent(layer.kept / layer.weights)} kept`);

function drawNode(layer, at, place) {
  const silent = layer.live === 0;
  const end = layer.roles.some((role) => role !== "product");
  const inner = NODE.width - 20;
  let x = 10;
  const bars = ["live", "constant", "dead"].map((kind) => {
    const width = (inner * layer[kind]) / Math.max(layer.units, 1);
    const bar = svg("rect", { class: `f-${kind}`, x: x.toFixed(1), y: 36, width: width.toFixed(1), height: 4 });
    x += width;
    return bar;
  });
  const kept = layer.weights ? keptOf(layer) : layer.roles.join(", ") || "wiring";
  const units = `${number(layer.units)} unit${layer.units === 1 ? "" : "s"}`;
  return svg("g", {
    class: `node${silent ? " silent" : ""}${end ? " end" : ""}`, "data-node": at, tabindex: 0, role: "button",
    "aria-label": `${layer.name}, ${units}`, transform: `translate(${place.x},${place.y})`,
  },
    svg("rect", { class: "box", width: NODE.width, height: NODE.height, rx: 7 }),
    svg("text", { x: 10, y: 16 }, shortened(layer.name, 20)),
    svg("text", { class: "soft", x: 10, y: 30 }, units.length + kept.length > 22 ? number(layer.units) : units),
    svg("text", { class: "soft", x: NODE.width - 10, y: 30, "text-anchor": "end" }, kept),
    bars);
}

function heads() {
  return svg("defs", {}, ["used", "idle", "gone", "fixed"].map((kind) =>
    svg("marker", { id: `head-${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
      svg("path", { d: "M0,0.5L8,4L0,7.5z", class: kind === "idle" || kind === "gone" ? "f-warn" : "f-edge" }))));
}

const view = byId("view");
const drawing = byId("drawing");
const zoom = { scale: 1, width: 1, height: 1 };

function drawNetwork() {
  const { layers, connections } = graph();
  const world = placed(layers, connections, view.clientWidth);
  const most = Math.max(0, ...connections.map((edge) => edge.edges));
  zoom.width = world.width;
  zoom.height = world.height;
  drawing.setAttribute("viewBox", `0 0 ${world.width} ${world.height}`);
  drawing.replaceChildren(heads(),
    ...connections.map((edge, at) => drawEdge(edge, at, world.places, most)),
    ...layers.map((layer, at) => drawNode(layer, at, world.places[at])));
  fitNetwork(false);
}

// At first names can be read and a long drawing scrolls; the button shows all of it.
function fitNetwork(whole) {
  const high = whole ? view.clientHeight / zoom.height : 1;
  zoomTo(Math.max(0.2, Math.min(1, view.clientWidth / zoom.width, high)));
  view.scrollTo(0, 0);
}

function zoomTo(scale, place) {
  const box = drawing.getBoundingClientRect();
  const at = place || { x: innerWidth / 2, y: box.top };
  const [u, v] = [(at.x - box.left) / zoom.scale, (at.y - box.top) / zoom.scale];
  zoom.scale = Math.min(4, Math.max(0.1, scale));
  drawing.setAttribute("width", zoom.width * zoom.scale);
  drawing.setAttribute("height", zoom.height * zoom.scale);
  const after = drawing.getBoundingClientRect();
  view.scrollLeft += after.left + u * zoom.scale - at.x;
  view.scrollTop += after.top + v * zoom.scale - at.y;
}

function middleOfView() {
  const box = view.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
}
