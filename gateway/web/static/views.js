// The parts of the page: head, alarms strip, tabs, tiles worst first, gateways, map.
import { city, good, judge, now } from "./city.js";
import { make, put, svg } from "./draw.js";
import { link } from "./stream.js";
import { Tile, figure, title, trouble } from "./tile.js";
import { age, clock, knows, pick, say, since, spoken } from "./words.js";

const KINDS = ["air", "traffic", "energy", "water", "weather", "noise"];
const PAGE = 60; // tiles drawn at first, and added when the end comes into sight
const tiles = new Map();
let limit = PAGE;
let order = "";
let orderAt = 0;
const ROWS = 20; // alarms drawn at first, and added by the button below them
const ALARMS_MAX = 500; // the server holds no more
let rowsMax = ROWS;

export function kinds() {
  const held = new Set([...city.devices.values()].map((device) => device.kind));
  return ["all", ...KINDS.filter((kind) => held.has(kind)), ...[...held].filter((kind) => !KINDS.includes(kind)), "gateways", "map", ...(city.source.kind === "local" ? ["setup"] : [])];
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
    if (city.source.since && city.source.fact) text += ` (${city.source.fact})`;
  }
  if (element.dataset.state !== state) {
    element.dataset.state = state;
    const path = svg("path", { d: LIVE[shape], fill: shape === 2 ? "none" : "currentColor", stroke: "currentColor", "stroke-width": 2 });
    element.firstChild.replaceWith(svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, path));
  }
  put(words, text);
}

// What stands, worst and newest first. An alarm folded into another stands with its cause, as a number.
function standing() {
  const known = new Set(city.alarms.map((alarm) => `${alarm.gateway}/${alarm.id}`));
  const cause = (alarm) => (alarm.folded_into ? `${alarm.gateway}/${alarm.folded_into}` : "");
  const folded = new Map();
  for (const alarm of city.alarms) if (known.has(cause(alarm))) folded.set(cause(alarm), (folded.get(cause(alarm)) ?? 0) + 1);
  const rows = city.alarms.filter((alarm) => !known.has(cause(alarm))).map((alarm) => ({
    key: `${alarm.gateway}/${alarm.device}`, code: alarm.code, text: pick(alarm.text, alarm.code), since: alarm.since,
    level: alarm.level, folded: folded.get(`${alarm.gateway}/${alarm.id}`) ?? 0,
  }));
  const told = new Set(city.alarms.map((alarm) => `${alarm.gateway}/${alarm.device}`));
  for (const gateway of Object.values(city.gateways)) {
    if (gateway.up === false) rows.push({ key: "", code: "", text: `${pick(gateway.name, gateway.id)}: ${say("offline")}`, since: gateway.t, level: 3, folded: 0 });
  }
  for (const gateway of Object.values(city.gateways)) {
    for (const [code, text, id] of gateway.up === false ? [] : ailing(gateway)) {
      if (city.alarms.some((alarm) => alarm.gateway === gateway.id && alarm.id.startsWith(id))) continue;
      rows.push({ key: "", code, text: `${pick(gateway.name, gateway.id)}: ${text}`, since: "", level: 2, folded: 0 });
    }
  }
  for (const [key, device] of city.devices) {
    const state = judge(device);
    if ((state === 2 || state === 3) && !told.has(key)) rows.push({ key, code: "", text: `${title(device)}: ${trouble(device, state)}`, since: good(device).t, level: 2, folded: 0 });
  }
  return rows.sort((a, b) => (b.level ?? 0) - (a.level ?? 0) || String(b.since ?? "").localeCompare(String(a.since ?? "")));
}
const words = (row) => (row.folded ? `${row.text}, ${say("alarm.folded", { n: row.folded })}` : row.text);
export function alarms(element, open) {
  const rows = standing();
  const n = rows.length;
  const full = city.alarms.length >= ALARMS_MAX ? `, ${say("alarms.full")}` : "";
  const head = (n === 0 ? say("alarms.none") : n === 1 ? say("alarms.one") : say("alarms.title", { n })) + full;
  element.classList.toggle("some", n > 0);
  element.classList.toggle("high", rows.some((row) => row.level >= 3));
  put(element.firstChild, head);
  const list = element.children[1];
  if (n <= ROWS) rowsMax = ROWS;
  const shown = rows.slice(0, rowsMax);
  moreRows(element, n - shown.length, open);
  const text = JSON.stringify([shown.map((row) => [row.key, row.code, row.since, row.level]), spoken()]);
  if (list.dataset.rows !== text) {
    list.dataset.rows = text;
    list.replaceChildren(...shown.map((row) => alarmRow(row, open)));
  }
  shown.forEach((row, i) => put(list.children[i].querySelector(".what"), words(row)));
  return n;
}
function moreRows(element, n, open) {
  let button = element.children[2];
  if (!button && n > 0) {
    button = make("button", { type: "button", class: "do" });
    button.addEventListener("click", () => {
      rowsMax += 100;
      alarms(element, open);
    });
    element.append(button);
  }
  if (button) button.hidden = n <= 0;
  if (n > 0) put(button, say("alarms.more", { n }));
}
const SIGNS = ["M7 2a5 5 0 1 0 0 10a5 5 0 1 0 0-10Z", "M7 1 13 12H1Z", "M4 1h6l3 3v6l-3 3H4L1 10V4Z"]; // notice, warning, alarm
function alarmRow(row, open) {
  const level = Math.min(Math.max(row.level ?? 1, 1), 3);
  const sign = svg("svg", { viewBox: "0 0 14 14", class: `sign s${level}`, "aria-hidden": "true" }, svg("path", { d: SIGNS[level - 1] }));
  const button = make("button", { type: "button" }, sign, make("b", { class: "level" }, say(`alarm.l${level}`)), make("span", { class: "what" }), make("span", { class: "code" }, row.code));
  if (row.since) button.append(make("span", { class: "since" }, say("since", { t: since(row.since, now()) })));
  button.addEventListener("click", () => city.devices.has(row.key) && open(row.key));
  return make("li", {}, button);
}

export function tileList(element, kind, open, redraw) {
  const found = [];
  for (const [key, device] of city.devices) if (kind === "all" || device.kind === kind) found.push([key, device, judge(device)]);
  const level = (device) => (kind === "all" ? 0 : Math.max(figure(device)?.level ?? 0, 0)); // an AQI and a letter have no common order
  const rank = ([, device, state]) => (state >= 2 ? state * 10 : level(device)); // a doubt comes and goes: tiles would jump
  const field = (device) => (kind === "all" ? KINDS.indexOf(device.kind) : 0);
  const states = found.map(([key, , state]) => key + state).join();
  if (redraw || (states !== order && performance.now() - orderAt > 3000)) {
    [order, orderAt] = [states, performance.now()];
    if (redraw) limit = PAGE;
    found.sort((a, b) => rank(b) - rank(a) || field(a[1]) - field(b[1]) || title(a[1]).localeCompare(title(b[1]), spoken()));
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
  const rows = Object.values(city.gateways);
  const counts = new Map();
  for (const device of city.devices.values()) {
    const [all, bad] = counts.get(device.gateway) ?? [0, 0];
    counts.set(device.gateway, [all + 1, bad + (judge(device) >= 2)]);
  }
  const bad = (gateway) => (counts.get(gateway.id)?.[1] ?? 0) + ailing(gateway).length;
  rows.sort((a, b) => (b.up === false) - (a.up === false) || bad(b) - bad(a) || a.id.localeCompare(b.id));
  element.replaceChildren(...rows.slice(0, limit).map((gateway) => card(gateway, counts.get(gateway.id) ?? [0, 0])));
  element.dataset.more = Math.max(0, rows.length - limit);
}
// What is not zero of these counts, in words.
const counted = (part, names) => names.filter((name) => part[name]).map((name) => say(`n.${name}`, { n: part[name] }));
const letters = (sink) => sink.letters ?? sink.dead; // what lies there now; an older gateway tells the sum alone
// Sinks and buses that are down, or up with a warning: [code, words].
function ailing(gateway) {
  const found = [];
  for (const [kind, parts] of [["sink", gateway.sinks], ["bus", gateway.buses]]) {
    for (const [name, part] of Object.entries(parts ?? {})) {
      const why = part.warning || part.fact || (letters(part) ? say("n.dead", { n: letters(part) }) : "") || (part.state === "down" ? part.state : "");
      if (why) found.push([part.code ?? "", `${say(kind)} ${name}: ${why}`, `${kind === "bus" ? "link" : kind}-${name}-`]);
    }
  }
  return found;
}
function card(gateway, [all, bad]) {
  const box = make("div", { class: `tile${gateway.up === false || ailing(gateway).length ? " bad" : ""}` });
  const line = (text, name = "values") => text && box.append(make("span", { class: `${name} wide` }, text));
  line(pick(gateway.name, gateway.id), "name");
  line(`${gateway.id.split("/").at(-1)} · ${gateway.city ?? ""} · ${gateway.up === false ? say("offline") : say("online")}`, "where");
  const facts = [say("devices.n", { n: all })];
  if (bad) facts.push(say("trouble.n", { n: bad }));
  if (gateway.uptime_s !== undefined) facts.push(say("uptime", { age: age(gateway.uptime_s * 1000) }));
  if (gateway.version) facts.push(say("version", { v: gateway.version }));
  if (gateway.clock) facts.push(say(gateway.clock.trusted ? "clock.ok" : "clock.bad"));
  const off = gateway.clock?.offset_s;
  if (Math.abs(off ?? 0) >= 0.1) facts.push(say("clock.off", { s: off.toFixed(1) }));
  const { size_bytes: size, cap_bytes: cap } = gateway.journal ?? {};
  if (cap) facts.push(say("buffer", { p: Math.round((100 * size) / cap) }));
  if (gateway.disk_free !== undefined) facts.push(say("disk", { n: (gateway.disk_free / 1e9).toFixed(1) }));
  if (gateway.rss !== undefined) facts.push(say("memory", { n: Math.round(gateway.rss / 1e6) }));
  if (typeof gateway.temp === "number") facts.push(say("board", { n: Math.round(gateway.temp) }));
  line(facts.join(" · "));
  for (const [name, sink] of Object.entries(gateway.sinks ?? {})) {
    const words = [sink.lane ?? sink.state, say("waiting", { n: sink.waiting ?? 0 })];
    if (sink.waiting && sink.oldest_t) words.push(say("oldest", { t: since(sink.oldest_t, now()) }));
    line(`${say("sink")} ${name}: ${[...words, ...counted({ ...sink, dead: letters(sink) }, ["dead", "unheard", "dropped"])].join(" · ")}`);
  }
  for (const [name, bus] of Object.entries(gateway.buses ?? {})) {
    const words = [bus.state, bus.load !== undefined && `${Math.round(bus.load * 100)} %`, ...counted(bus, ["late", "crc", "timeouts"])];
    line(`${say("bus")} ${name}: ${words.filter(Boolean).join(" · ")}`, "note");
  }
  for (const [, text] of ailing(gateway)) line(text, "trouble");
  return make("li", {}, box);
}

export const footer = () => `${clock(now(), true)} · ${say("zone", { zone: "Asia/Bangkok" })}`;
