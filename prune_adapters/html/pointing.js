// What pointing, clicking, dragging and pinching do in the drawing of the layers.

const moved = { far: false };

const pointedAt = (event) => event.target.closest && event.target.closest("[data-node],[data-edge]");

function contentOf(thing, long) {
  return thing.dataset.node !== undefined
    ? layerTip(graph().layers[Number(thing.dataset.node)], long)
    : edgeTip(graph().connections[Number(thing.dataset.edge)]);
}

// Marks the lines of a layer, or the ends of a line.
function markNear(thing) {
  for (const near of drawing.querySelectorAll(".near")) near.classList.remove("near");
  if (!thing) return;
  const mark = (selector) => drawing.querySelector(selector).classList.add("near");
  graph().connections.forEach((edge, at) => {
    if (String(at) === thing.dataset.edge) [edge.source, edge.target].forEach((end) => mark(`[data-node="${end}"]`));
    if ([edge.source, edge.target].some((end) => String(end) === thing.dataset.node)) mark(`[data-edge="${at}"]`);
  });
}

function listenToPointing() {
  drawing.addEventListener("pointerover", (event) => {
    const thing = pointedAt(event);
    if (event.pointerType === "touch" || !thing) return;
    markNear(thing);
    showTip(contentOf(thing, false), { x: event.clientX, y: event.clientY });
  });
  drawing.addEventListener("pointerout", () => {
    markNear(null);
    hideTip();
  });
  drawing.addEventListener("click", (event) => {
    const thing = pointedAt(event);
    if (moved.far || !thing) return;
    markNear(thing);
    showTip(contentOf(thing, true), { x: event.clientX, y: event.clientY }, true);
    event.stopPropagation();
  });
  drawing.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    const thing = pointedAt(event);
    const box = thing && thing.getBoundingClientRect();
    if (box) showTip(contentOf(thing, true), { x: box.right, y: box.top }, true);
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip(true));
  document.addEventListener("click", (event) => {
    if (!tip.contains(event.target) && !event.target.closest("tbody")) hideTip(true);
  });
}

// A mouse drags; a finger scrolls by itself.
function listenToDragging() {
  let last = null;
  view.addEventListener("pointerdown", (event) => {
    moved.far = false;
    if (event.pointerType === "mouse" && event.button === 0) last = { x: event.clientX, y: event.clientY };
  });
  window.addEventListener("pointermove", (event) => {
    if (!last) return;
    const [x, y] = [event.clientX - last.x, event.clientY - last.y];
    if (!moved.far && Math.hypot(x, y) < 5) return;
    moved.far = true;
    view.classList.add("moving");
    view.scrollBy(-x, -y);
    last = { x: event.clientX, y: event.clientY };
  });
  window.addEventListener("pointerup", () => {
    last = null;
    view.classList.remove("moving");
  });
}

function listenToZooming() {
  byId("in").addEventListener("click", () => zoomTo(zoom.scale * 1.3, middleOfView()));
  byId("out").addEventListener("click", () => zoomTo(zoom.scale / 1.3, middleOfView()));
  byId("fit").addEventListener("click", () => fitNetwork(true));
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomTo(zoom.scale * Math.exp(-event.deltaY / 300), { x: event.clientX, y: event.clientY });
  }, { passive: false });
  let apart = 0;
  view.addEventListener("touchmove", (event) => {
    if (event.touches.length !== 2) return;
    event.preventDefault();
    const [a, b] = event.touches;
    const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (apart) zoomTo((zoom.scale * now) / apart, { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2 });
    apart = now;
  }, { passive: false });
  view.addEventListener("touchend", () => { apart = 0; });
}
