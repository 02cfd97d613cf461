// The parts put together: drawn once, and again when the width or the graph changes.

function drawTiles() {
  const { total } = graph();
  const tile = (value, text) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, text));
  const shares = `${number(total.live)} live, ${number(total.constant)} constant, ${number(total.dead)} dead`;
  byId("tiles").replaceChildren(
    tile(percent(total.sparsity), "direct sparsity"),
    tile(percent(total.effective_sparsity), "effective sparsity"),
    tile(number(total.kept), `weights kept of ${number(total.weights)}`),
    el("div", { class: "tile" }, el("b", {}, number(total.units)), unitBar(total, "10px"), el("span", {}, `units: ${shares}`)));
}

function drawLegend() {
  const line = (kind, width) => svg("g", { class: `edge ${kind}` }, svg("path", { class: "line", d: "M0,7H22", "stroke-width": width }));
  byId("legend").replaceChildren(
    ...["live", "constant", "dead"].map((kind) => legendLine(square(kind), `${kind} units`)),
    legendLine(line("used", 4), "kept edges (wider: more)"), legendLine(line("idle", 2), "kept, not on a path"),
    legendLine(line("gone", 2), "no weight kept"), legendLine(line("fixed", 2), "fixed wiring"),
    legendLine(svg("rect", { class: "silent", x: 1, y: 1, width: 20, height: 12, rx: 3 }), "no live unit"));
}

function drawChoice() {
  if (DATA.graphs.length < 2) return;
  byId("choice").replaceChildren(...DATA.graphs.map((one, at) => {
    const button = el("button", { type: "button", "aria-pressed": at === state.graph }, one.name);
    button.addEventListener("click", () => {
      state.graph = at;
      drawChoice();
      drawGraph();
    });
    return button;
  }));
}

function drawWhich() {
  const joined = graph().layers.map((layer, at) => ({ layer, at })).filter(({ layer }) => layer.in || layer.out);
  byId("which").replaceChildren(el("option", { value: "all" }, "all layers"),
    ...joined.map(({ layer, at }) => el("option", { value: at }, shortened(layer.name, 40))));
}

function drawNotes() {
  byId("notes").hidden = !graph().notes.length;
  byId("notes").querySelector("ul").replaceChildren(...graph().notes.map((note) => el("li", {}, note)));
}

function drawSized() {
  drawNetwork();
  drawSparsity();
  drawUnits();
  drawDegrees();
}

function drawGraph() {
  hideTip(true);
  drawTiles();
  drawLayerTable();
  drawWhich();
  drawNotes();
  drawSized();
}

function listenToTheme() {
  const button = byId("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  label();
}

// The width also changes when a scroll bar comes; the height does with what is drawn.
function listenToWidth() {
  let width = byId("network").clientWidth;
  new ResizeObserver(() => {
    const now = byId("network").clientWidth;
    if (now === width) return;
    width = now;
    requestAnimationFrame(() => {
      drawSized();
      drawDifference();
    });
  }).observe(byId("network"));
}

drawLegend();
drawChoice();
drawGraph();
drawDifference();
byId("which").addEventListener("change", drawDegrees);
listenToPointing();
listenToDragging();
listenToZooming();
listenToTheme();
listenToWidth();
