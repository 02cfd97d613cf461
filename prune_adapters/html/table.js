// Tables that sort by a click on a header and filter by name and kind.

const count = (key, label, title, warn) => ({
  label, title, value: (row) => row[key], text: (row) => number(row[key]),
  look: (row) => (warn && row[key] ? "some" : null),
});
const weightCount = (key, label, title) => ({
  label, title, value: (row) => (row.weights ? row[key] : null), text: (row) => (row.weights ? number(row[key]) : "-"),
});
const share = (key, label, title) => ({ label, title, value: (row) => row[key], text: (row) => percent(row[key]) });
const nameColumn = { label: "layer", title: "name of the module", left: true, value: (row) => row.name, text: (row) => row.name };

const LAYER_COLUMNS = [
  nameColumn,
  count("units", "units", "neurons, or channels of a convolution"),
  { label: "shares", title: "live, constant and dead units", value: (row) => row.live / Math.max(row.units, 1), text: (row) => unitBar(row) },
  count("live", "live", "units that change with the input and change an output"),
  count("constant", "const", "units that change an output, but not with the input"),
  count("dead", "dead", "units that change no output", true),
  weightCount("weights", "weights", "weights into the layer"),
  weightCount("kept", "kept", "weights that are kept"),
  weightCount("consistent", "on a path", "kept weights from a unit that changes with the input to one that changes an output"),
  share("sparsity", "sparsity", "removed weights, of all"),
  share("effective_sparsity", "effective", "weights that are not on a path, of all"),
];

const KINDS = {
  "all layers": () => true,
  "with weights": (row) => row.weights > 0,
  "with dead units": (row) => row.dead > 0,
  "with constant units": (row) => row.constant > 0,
  "no weight on a path": (row) => row.weights > 0 && row.consistent === 0,
};

// Missing values stay at the end whichever way the rows run.
function compareBy(value, sign) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return sign * order;
  };
}

function drawTable(place, columns, rows, options) {
  const sorted = { column: -1, sign: 1 };
  const body = el("tbody");
  const heads = columns.map((column, at) => {
    const button = el("button", { type: "button", title: column.title }, column.label);
    button.addEventListener("click", () => {
      // Numbers first run from the largest down, names from A on.
      const first = column.left ? 1 : -1;
      sorted.sign = sorted.column === at ? -sorted.sign : first;
      sorted.column = at;
      update();
    });
    return el("th", { scope: "col", class: column.left ? "left" : null }, button);
  });
  const foot = options.total && el("tfoot", {}, tableRow(columns, options.total));
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), body, foot);
  const name = el("input", { type: "search", placeholder: "Filter by name", "aria-label": "filter by name" });
  const kinds = Object.keys(options.kinds || {});
  const kind = el("select", { "aria-label": "which layers" }, kinds.map((text) => el("option", {}, text)));
  name.addEventListener("input", update);
  kind.addEventListener("change", update);

  function update() {
    const words = name.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => words.every((word) => row.name.toLowerCase().includes(word));
    const shown = rows.filter((row) => fits(row) && (!kinds.length || options.kinds[kind.value](row)));
    if (sorted.column >= 0) shown.sort(compareBy(columns[sorted.column].value, sorted.sign));
    heads.forEach((head, at) => {
      if (at === sorted.column) head.setAttribute("aria-sort", sorted.sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...shown.map((row) => clickable(tableRow(columns, row), row, options.onRow)));
    if (options.onCount) options.onCount(shown.length, rows.length);
  }

  update();
  const filters = el("div", { class: "filters" }, name, kinds.length ? kind : null);
  place.replaceChildren(filters, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of layers" }, table));
}

function tableRow(columns, row) {
  const cells = columns.map((column) => {
    const look = [column.left ? "left" : null, column.look && column.look(row)].filter(Boolean).join(" ");
    return el("td", { class: look || null, title: column.left ? row.name : null }, column.text(row));
  });
  return el("tr", { class: row.weights === 0 ? "plain" : null }, cells);
}

function clickable(line, row, onRow) {
  if (onRow) line.addEventListener("click", (event) => onRow(row, event));
  return line;
}

function drawLayerTable() {
  const total = { ...graph().total, name: "total" };
  drawTable(byId("layer-table"), LAYER_COLUMNS, graph().layers, {
    total,
    kinds: KINDS,
    onRow: (row, event) => showTip(layerTip(row, true), { x: event.clientX, y: event.clientY }, true),
    onCount: (shown, all) => byId("count").replaceChildren(`${number(shown)} of ${number(all)} layers`),
  });
}
