// What the other scripts share: the data, elements, numbers as text, and the box that explains what is pointed at.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SPACE = document.getElementById("drawing").namespaceURI;
const state = { graph: 0 };

const byId = (id) => document.getElementById(id);
const graph = () => DATA.graphs[state.graph];

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  // Text always becomes a text node: no name in the data is ever read as markup.
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SPACE, tag), attributes, children);

const number = (value) => value.toLocaleString("en-US");

// As many digits as keep a share apart from 0 % and 100 %.
function percent(share) {
  if (share === null) return "-";
  let text = "";
  for (let digits = 1; digits < 7; digits += 1) {
    text = (100 * share).toFixed(digits);
    if (share === 0 || share === 1 || (Number(text) > 0 && Number(text) < 100)) break;
  }
  return `${text} %`;
}

// The end of a module path tells more than its start; it begins after a dot if one is near.
function shortened(name, most) {
  const letters = Array.from(name);
  if (letters.length <= most) return name;
  const tail = letters.slice(1 - most);
  const dot = tail.indexOf(".");
  return `\u2026${tail.slice(dot < tail.length / 2 ? dot + 1 : 0).join("")}`;
}

function unitBar(layer, height) {
  const parts = ["live", "constant", "dead"].map((kind) => {
    const part = el("i", { class: kind });
    part.style.width = `${(100 * layer[kind]) / Math.max(layer.units, 1)}%`;
    return part;
  });
  const bar = el("div", { class: "bar" }, parts);
  if (height) bar.style.height = height;
  return bar;
}

// ---- the box that explains

const tip = byId("tip");

function showTip(content, place, pinned) {
  if (!pinned && tip.classList.contains("pinned")) return;
  tip.replaceChildren(...content);
  tip.classList.toggle("pinned", Boolean(pinned));
  if (pinned) {
    const close = el("button", { class: "close", type: "button", "aria-label": "close" }, "\u00d7");
    close.addEventListener("click", () => hideTip(true));
    tip.append(close);
  }
  tip.hidden = false;
  tip.scrollTop = 0;
  const box = tip.getBoundingClientRect();
  const right = place.x + 16 + box.width < innerWidth - 8;
  tip.style.left = `${Math.max(8, right ? place.x + 16 : place.x - 16 - box.width)}px`;
  tip.style.top = `${Math.max(8, Math.min(place.y + 12, innerHeight - box.height - 8))}px`;
}

function hideTip(evenPinned) {
  if (!evenPinned && tip.classList.contains("pinned")) return;
  tip.hidden = true;
  tip.classList.remove("pinned");
}

const facts = (pairs) => el("dl", {}, pairs.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

function layerTip(layer, long) {
  const roles = layer.roles.length ? ` (${layer.roles.join(", ")})` : "";
  const degrees = (found) => found && `${found.min} to ${number(found.max)}, mean ${number(found.mean)}`;
  const rows = [
    ["units", `${number(layer.units)}: ${number(layer.live)} live, ${number(layer.constant)} constant, ${number(layer.dead)} dead`],
    layer.weights && ["weights", `${number(layer.kept)} of ${number(layer.weights)} kept, ${number(layer.consistent)} on a path`],
    layer.weights && ["density", `${percent(1 - layer.sparsity)}, on a path ${percent(1 - layer.effective_sparsity)}`],
    layer.in && ["in-degree", degrees(layer.in)],
    layer.out && ["out-degree", degrees(layer.out)],
  ];
  const why = layer.why.map((text) => el("p", {}, text));
  const examples = long ? layer.examples.map((text) => el("pre", {}, text)) : [];
  return [el("h3", {}, layer.name + roles), facts(rows), ...why, ...examples];
}

function edgeTip(edge) {
  const layers = graph().layers;
  const title = `${layers[edge.source].name} \u2192 ${layers[edge.target].name}${edge.feedback ? " (feedback)" : ""}`;
  const rows = [
    edge.weights && ["edges", `${number(edge.edges)} of ${number(edge.pairs)} pairs of units`],
    edge.weights && ["weights", `${number(edge.kept)} of ${number(edge.weights)} kept, ${number(edge.consistent)} on a path`],
    edge.weights && ["density", percent(edge.kept / edge.weights)],
    edge.wires && ["wiring", `${number(edge.wires)} fixed edges`],
    edge.parameters.length && ["parameter", edge.parameters.slice(0, 4).join(", ") + (edge.parameters.length > 4 ? ` and ${edge.parameters.length - 4} more` : "")],
  ];
  const text = edge.weights && !edge.kept ? "No weight is kept here." : edge.kept && !edge.consistent ? "Nothing that is kept here lies on a path from the input to an output." : "";
  return [el("h3", {}, title), facts(rows), ...(text ? [el("p", {}, text)] : [])];
}
