// Elements and drawings: sparkline with true gaps, level marks that can be told apart without colour.
const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// One shape for each level: circle, rounded square, triangle, diamond, octagon.
const SHAPES = [
  () => svg("circle", { cx: 30, cy: 30, r: 24 }),
  () => svg("circle", { cx: 30, cy: 30, r: 26 }),
  () => svg("rect", { x: 5, y: 5, width: 50, height: 50, rx: 12 }),
  () => svg("path", { d: "M30 2 58 55H2Z" }),
  () => svg("path", { d: "M30 1 59 30 30 59 1 30Z" }),
  () => svg("path", { d: "M19 3H41L57 19V41L41 57H19L3 41V19Z" }),
];
export function mark(level, text) {
  const shape = SHAPES[Math.min(level, 5)]();
  shape.setAttribute("class", `mark l${level}${level >= 5 ? " mark5" : ""}`);
  const label = svg("text", { x: 30, y: level === 3 ? 46 : 38, class: "num" });
  label.textContent = text;
  return svg("svg", { viewBox: "0 0 60 60", "aria-hidden": "true", focusable: "false" }, shape, label);
}
// level 1 to 5 as above; 0: well, without a level (a ring); -1: trouble (a cross)
export function dot(level, size) {
  const shape = level < 0 ? svg("path", { d: "M6 16 16 6 30 20 44 6 54 16 40 30 54 44 44 54 30 40 16 54 6 44 20 30Z" }) : SHAPES[Math.min(level, 5)]();
  shape.setAttribute("class", `mark ${level < 0 ? "cross" : level ? `l${level}` : "ring"}`);
  return svg("g", { transform: `scale(${size / 60}) translate(-30 -30)` }, shape);
}

// The values of a sparkline up to now (ms): quarters that have passed without a value are a gap like any other. A
// quarter's window may come a minute after its end.
export function upTo(line, now) {
  const passed = line ? Math.max(0, Math.floor((now - 60000 - line.t) / line.step)) : 0;
  return passed ? [...line.y.slice(passed), ...Array(Math.min(passed, line.y.length)).fill(null)] : line?.y;
}

// y: numbers and nulls. A null is a gap: the line stops there and a band shows it. Nothing is ever bridged.
// limits: dashed lines, drawn where they lie within reach of the values.
export function spark(y, width = 300, height = 38, limits = []) {
  const known = y.filter((v) => v !== null);
  const box = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
  if (!known.length) return box;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const near = limits.filter((limit) => limit >= low - 3 * (high - low + 1e-9) && limit <= high + 3 * (high - low + 1e-9));
  [low, high] = [Math.min(low, ...near), Math.max(high, ...near)];
  if (low === high) [low, high] = [low - 1, high + 1];
  const step = width / y.length;
  const at = (v) => (height - 3 - ((v - low) / (high - low)) * (height - 6)).toFixed(1);
  const first = y.findIndex((v) => v !== null);
  let [line, gap] = ["", -1];
  for (let i = 0; i <= y.length; i += 1) {
    const empty = i < y.length && y[i] === null;
    if (empty && gap < 0) gap = i;
    if (!empty && gap >= 0) {
      if (gap >= first) box.append(svg("rect", { class: "gap", x: gap * step, y: 0, width: (i - gap) * step, height }));
      gap = -1;
    }
    if (i < y.length && !empty) {
      const fresh = i === 0 || y[i - 1] === null;
      line += `${fresh ? "M" : "L"}${(i * step).toFixed(1)} ${at(y[i])}`;
      if (i === y.length - 1 || y[i + 1] === null) line += `L${((i + 1) * step).toFixed(1)} ${at(y[i])}`;
    }
  }
  for (const limit of near) box.append(svg("line", { class: "limit", x1: 0, x2: width, y1: at(limit), y2: at(limit) }));
  box.append(svg("path", { d: line }));
  return box;
}
export function meter(share) {
  const width = Math.min(share, 1) * 100;
  const bar = svg("rect", { x: 0, y: 0, width, height: 10, class: share > 0.9 ? "over" : "" });
  return svg("svg", { class: "meter wide", viewBox: "0 0 100 10", preserveAspectRatio: "none", width: "100%", "aria-hidden": "true" }, bar);
}
