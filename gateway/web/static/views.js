// The parts of the page: head, alarms strip, tabs, tiles worst first, gateways, map.
import { city, judge, now } from "./city.js";
import { dot, make, put, svg } from "./draw.js";
import { link } from "./stream.js";
import { Tile, figure, title, trouble } from "./tile.js";
import { age, clock, knows, pick, say, since, spoken } from "./words.js";

const KINDS = ["air", "traffic", "energy", "water", "weather", "noise"];
const PAGE = 60; // tiles drawn at first, and added when the end comes into sight
const tiles = new Map();
let limit = PAGE;
let order = "";
let orderAt = 0;

export function kinds() {
  const held = new Set([...city.devices.values()].map((device) => device.kind));
  return [...KINDS.filter((kind) => held.has(kind)), ...[...held].filter((kind) => !KINDS.includes(kind)), "gateways", "map"];
}
export const kindName = (kind) => (knows(`tab.${kind}`) ? say(`tab.${kind}`) : kind);

const LIVE = ["M2 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", "M1 6h12v2H1Z", "M2 2 12 12M12 2 2 12"];
export function status(element, words) {
  let [state, shape, text] = ["live", 0, `${say("live")}`];
  if (!link.live) {
    const waited = Math.round((performance.now() - link.since) / 1000);
    [state, shape, text] = ["wait", 1, city.skew === null ? say("connecting") : say("reconnecting", { s: waited })];
  } else if (!city.source.up) {
    const key = city.source.kind === "broker" ? "source.down.broker" : "source.down";
    [state, shape, text] = ["down", 2, city.source.since ? say(key, { t: since(city.source.since, now()) }) : say("connecting")];
  }
  if (element.dataset.state !== state) {
    element.dataset.state = state;
    const path = svg("path", { d: LIVE[shape], fill: shape === 2 ? "none" : "currentColor", stroke: "currentColor", "stroke-width": 2 });
    element.firstChild.replaceWith(svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, path));
  }
  put(words, text);
}

export function alarms(element, open) {
  const rows = city.alarms.map((alarm) => ({
    key: `${alarm.gateway}/${alarm.device}`, code: alarm.code, text: pick(alarm.text, alarm.code), since: alarm.since, level: alarm.level,
  }));
  const offline = Object.values(city.gateways).filter((gateway) => gateway.up === false);
  for (const gateway of offline) rows.push({ key: "", code: "", text: `${pick(gateway.name, gateway.id)}: ${say("offline")}`, since: gateway.t, level: 3 });
  for (const [key, device] of city.devices) {
    const state = judge(device);
    if (state === 2 || state === 3) rows.push({ key, code: "", text: `${title(device)}: ${trouble(device, state)}`, since: device.t, level: 2 });
  }
  rows.sort((a, b) => (b.level ?? 0) - (a.level ?? 0) || String(b.since ?? "").localeCompare(String(a.since ?? "")));
  const n = rows.length;
  const head = n === 0 ? say("alarms.none") : n === 1 ? say("alarms.one") : say("alarms.title", { n });
  element.classList.toggle("some", n > 0);
  put(element.firstChild, head);
  const list = element.lastChild;
  const shown = rows.slice(0, 20);
  const text = JSON.stringify([shown.map((row) => [row.key, row.code, row.since]), spoken()]);
  if (list.dataset.rows !== text) {
    list.dataset.rows = text;
    list.replaceChildren(...shown.map((row) => alarmRow(row, open)));
  }
  shown.forEach((row, i) => put(list.children[i].firstChild.firstChild, row.text));
  return n;
}
function alarmRow(row, open) {
  const button = make("button", { type: "button" }, make("span", {}), make("span", { class: "code" }, row.code));
  if (row.since) button.append(make("span", { class: "since" }, say("since", { t: since(row.since, now()) })));
  button.addEventListener("click", () => city.devices.has(row.key) && open(row.key));
  return make("li", {}, button);
}

export function tileList(element, kind, open, redraw) {
  const found = [];
  for (const [key, device] of city.devices) if (device.kind === kind) found.push([key, device, judge(device)]);
  const rank = ([, device, state]) => state * 10 + (state ? 0 : Math.max(figure(device)?.level ?? 0, 0));
  const states = found.map(([key, , state]) => key + state).join();
  if (redraw || (states !== order && performance.now() - orderAt > 3000)) {
    [order, orderAt] = [states, performance.now()];
    if (redraw) limit = PAGE;
    found.sort((a, b) => rank(b) - rank(a) || title(a[1]).localeCompare(title(b[1]), spoken()));
    fill(element, found, open, redraw);
  }
  const byKey = new Map(found.map((row) => [row[0], row]));
  for (const item of element.children) {
    const row = byKey.get(item.dataset.key);
    if (row) tiles.get(row[0]).update(row[1], row[2], spoken());
  }
}
function fill(element, found, open) {
  const wanted = found.slice(0, limit).map(([key]) => {
    if (!tiles.has(key)) {
      tiles.set(key, new Tile(key, open));
      tiles.get(key).element.dataset.key = key;
    }
    return tiles.get(key).element;
  });
  const same = wanted.length === element.children.length && wanted.every((item, i) => element.children[i] === item);
  if (!same) {
    const focused = document.activeElement;
    element.replaceChildren(...wanted);
    if (focused?.classList.contains("tile")) focused.focus({ preventScroll: true });
  }
  element.dataset.more = Math.max(0, found.length - limit);
}
export function more() {
  limit += PAGE;
  order = "";
  orderAt = 0;
}

export function gateways(element) {
  const rows = Object.values(city.gateways).sort((a, b) => (b.up === false) - (a.up === false) || a.id.localeCompare(b.id));
  const counts = new Map();
  for (const device of city.devices.values()) {
    const [all, bad] = counts.get(device.gateway) ?? [0, 0];
    counts.set(device.gateway, [all + 1, bad + (judge(device) >= 2)]);
  }
  element.replaceChildren(...rows.slice(0, 500).map((gateway) => card(gateway, counts.get(gateway.id) ?? [0, 0])));
}
function card(gateway, [all, bad]) {
  const box = make("div", { class: `tile${gateway.up === false ? " bad" : ""}` });
  const line = (text, name = "values") => text && box.append(make("span", { class: `${name} wide` }, text));
  line(pick(gateway.name, gateway.id), "name");
  line(`${gateway.id} · ${gateway.city ?? ""} · ${gateway.up === false ? say("offline") : say("online")}`, "where");
  const facts = [say("devices.n", { n: all })];
  if (bad) facts.push(say("trouble.n", { n: bad }));
  if (gateway.uptime_s !== undefined) facts.push(say("uptime", { age: age(gateway.uptime_s * 1000) }));
  if (gateway.version) facts.push(say("version", { v: gateway.version }));
  if (gateway.clock) facts.push(say(gateway.clock.trusted ? "clock.ok" : "clock.bad"));
  const { size_bytes: size, cap_bytes: cap } = gateway.journal ?? {};
  if (cap) facts.push(say("buffer", { p: Math.round((100 * size) / cap) }));
  line(facts.join(" · "));
  for (const [name, sink] of Object.entries(gateway.sinks ?? {})) {
    line(`${say("sink")} ${name}: ${sink.state} · ${say("waiting", { n: sink.waiting ?? 0 })}`);
  }
  for (const [name, bus] of Object.entries(gateway.buses ?? {})) {
    line(`${say("bus")} ${name}: ${bus.state ?? ""} ${bus.load === undefined ? "" : `${Math.round(bus.load * 100)} %`}`.trim(), "note");
  }
  return make("li", {}, box);
}

export function map(element, open) {
  const spots = [];
  for (const [key, device] of city.devices) {
    const at = device.location ?? (city.gateways[device.gateway] ?? {}).location;
    if (at) spots.push({ key, device, x: at.longitude, y: at.latitude });
  }
  const text = JSON.stringify([spots.map(({ key, device }) => [key, judge(device), figure(device)?.level]), spoken()]);
  if (element.dataset.spots === text) return;
  element.dataset.spots = text;
  element.replaceChildren(drawn(spots, open));
}
function drawn(spots, open) {
  const xs = spots.map((spot) => spot.x);
  const ys = spots.map((spot) => spot.y);
  const reach = Math.max(0.004, Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) * 1.25;
  const [cx, cy] = [(Math.max(...xs) + Math.min(...xs)) / 2, (Math.max(...ys) + Math.min(...ys)) / 2];
  const box = svg("svg", { class: "map", viewBox: "0 0 1000 620", role: "group", "aria-label": say("tab.map") });
  for (let i = 0; i <= 10; i += 1) {
    box.append(svg("line", { x1: i * 100, y1: 0, x2: i * 100, y2: 620 }), svg("line", { x1: 0, y1: i * 62, x2: 1000, y2: i * 62 }));
  }
  const used = new Map();
  for (const { key, device, x, y } of spots) {
    const place = `${x.toFixed(5)},${y.toFixed(5)}`;
    const n = used.get(place) ?? 0;
    used.set(place, n + 1);
    const ring = n ? 24 + 44 * Math.ceil(n / 8) : 0; // several devices at one place stand around it
    const turn = (n * Math.PI) / 4;
    const px = 500 + ((x - cx) / reach) * 620 + ring * Math.cos(turn);
    const py = 310 - ((y - cy) / reach) * 620 + ring * Math.sin(turn);
    box.append(spot(key, device, px, py, open));
  }
  return box;
}
function spot(key, device, x, y, open) {
  const state = judge(device);
  const name = `${title(device)}: ${state >= 2 ? trouble(device, state) : figure(device)?.big || say("q.good")}`;
  const group = svg("g", { class: "dot", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, tabindex: 0, role: "button", "aria-label": name });
  const tip = svg("title");
  tip.textContent = name;
  group.append(tip, dot(state >= 2 ? -1 : Math.max(figure(device)?.level ?? 0, 0), 36));
  group.addEventListener("click", () => open(key));
  group.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && open(key));
  return group;
}
export const footer = () => `${clock(now(), true)} · ${say("zone", { zone: "Asia/Bangkok" })}`;
