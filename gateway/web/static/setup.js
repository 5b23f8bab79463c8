// The commissioning wizard: code, wire, found units, values. Nothing here decides: the daemon checks code and permit.
import { city } from "./city.js";
import { make, put } from "./draw.js";
import { age, amount, pick, quality, say, spoken } from "./words.js";

const held = { permit: "", until: 0, profiles: [], bus: "", found: null, faults: [], added: [], checking: false, busy: "", since: 0, said: "" };
let place = null;
let shown = "";

async function post(what, body) {
  const headers = { "content-type": "application/json", "x-citygate-permit": held.permit };
  const answer = await fetch(`/setup/${what}`, { method: "POST", headers, body: JSON.stringify({ lang: spoken(), ...body }) }).catch(() => null);
  if (answer?.ok) return answer.json();
  held.said = answer ? (await answer.text()).trim() : say("reconnecting", { s: 0 });
  return null;
}
async function work(words, what, body) {
  Object.assign(held, { busy: words, since: performance.now(), said: "" });
  draw();
  const found = await post(what, body);
  held.busy = "";
  for (const line of found?.lines ?? []) if (line.fault) held.faults.push(line.fault);
  return found;
}
const open = () => held.permit && performance.now() < held.until;

async function unlock(code) {
  const found = await work("setup.wait", "unlock", { code });
  if (found) {
    Object.assign(held, { permit: found.permit, until: performance.now() + found.left_s * 1000, found: null, added: [], checking: false });
    held.profiles = (await post("state", {}))?.profiles ?? [];
  }
  draw();
}
async function scan() {
  Object.assign(held, { found: null, faults: [] });
  const found = await work("setup.scanning", "scan", { bus: held.bus });
  if (found) held.found = found.lines.filter((line) => line.type === "found");
  draw();
}
async function add(unit, profile) {
  held.faults = [];
  const found = await work("setup.adding", "add", { bus: held.bus, unit, profile });
  if (found?.exit === 0) {
    held.added.push(found.lines.at(-1).device);
    held.found = held.found.filter((one) => one.unit !== unit);
  }
  draw();
}
async function finish() {
  const found = await work("setup.wait", "finish", {});
  if (found) Object.assign(held, { permit: "", found: null, checking: true }); // the daemon starts anew, and forgets its permit
  draw();
}

function button(text, act, attributes = {}) {
  const one = make("button", { type: "button", class: "do", ...attributes }, text);
  one.addEventListener("click", act);
  return one;
}
const command = (text) => make("p", { class: "hint" }, `${say("setup.same")}: `, make("code", {}, text));

function locked() {
  const field = make("input", { id: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 9, size: 10, "aria-describedby": "code-how" });
  const enter = () => field.value.trim() && unlock(field.value);
  field.addEventListener("keydown", (event) => event.key === "Enter" && enter());
  return [
    make("p", { id: "code-how" }, say("setup.locked")),
    make("div", { class: "row" }, make("label", { for: "code" }, say("setup.code")), field, button(say("setup.open"), enter)),
  ];
}
function wires() {
  const buses = Object.values(city.gateways)[0]?.buses ?? {};
  const choose = make("select", { id: "wire", "aria-label": say("bus") });
  for (const [name, bus] of Object.entries(buses)) choose.append(make("option", { value: name }, `${name} ${bus.endpoint ?? ""}`));
  held.bus = held.bus in buses ? held.bus : (Object.keys(buses)[0] ?? "");
  choose.value = held.bus;
  choose.addEventListener("change", () => { held.bus = choose.value; draw(); });
  return [make("h3", {}, say("setup.1")), make("div", { class: "row" }, choose, button(say("setup.scan"), scan, held.bus ? {} : { disabled: "" })), command(`citygate scan ${held.bus}`)];
}
function units() {
  if (!held.found) return [];
  if (!held.found.length) return [make("p", {}, say("setup.none", { w: held.bus }))];
  return [make("h3", {}, say("setup.2")), make("ul", { class: "found" }, ...held.found.map(unit))];
}
function unit(one) {
  const fitting = one.profiles.map((name) => name.profile);
  const choose = make("select", { "aria-label": `${say("setup.profile")} ${one.unit}` });
  if (!fitting.length) choose.append(make("option", { value: "" }, say("setup.choose")));
  for (const name of [...fitting, ...held.profiles.filter((other) => !fitting.includes(other))]) choose.append(make("option", { value: name }, name));
  const words = say("setup.unit", { n: one.unit, l: one.line ?? one.framing, ms: Math.round(one.reply_ms) });
  return make("li", {}, make("b", {}, words), make("div", { class: "row" }, choose, button(say("setup.add"), () => choose.value && add(one.unit, choose.value))), command(`citygate add ${held.bus}/${one.unit} --profile ${fitting[0] ?? "NAME"}`));
}
function added() {
  return held.added.length ? [make("p", {}, say("setup.added", { id: held.added.join(", ") })), button(say("setup.finish"), finish)] : [];
}
function values() {
  if (!held.checking) return [];
  const tables = held.added.flatMap((id) => [make("h4", {}, id), make("table", { class: "check", "data-id": id }, make("tbody")), command(`citygate read ${id}`)]);
  return [make("h3", {}, say("setup.3")), ...tables];
}
function fill(table) {
  const device = [...city.devices].find(([key]) => key.endsWith(`/${table.dataset.id}`))?.[1];
  const rows = (device?.lead ?? []).map((name) => {
    const q = device.q?.[name] ?? device.q?.["*"];
    const known = device.v?.[name] !== undefined && device.v[name] !== null;
    const cells = [pick(city.points[name], name), amount(device.v?.[name], city.points[name]), q ? quality(q) : known ? say("q.good") : ""];
    return make("tr", {}, ...cells.map((text) => make("td", {}, text)));
  });
  table.firstChild.replaceChildren(...(rows.length ? rows : [make("tr", {}, make("td", {}, say("no.data.yet")))]));
}

export function setup(element) {
  place = element;
  const text = JSON.stringify([spoken(), open(), held.busy, held.said, city.source.kind, Object.keys(Object.values(city.gateways)[0]?.buses ?? {})]);
  if (text !== shown) draw();
  shown = text;
  const left = place.querySelector(".left");
  if (left && open()) put(left, say("setup.left", { age: age(held.until - performance.now()) }));
  const busy = place.querySelector(".busy");
  if (busy) put(busy, held.busy ? say(held.busy, { w: held.bus, s: Math.round((performance.now() - held.since) / 1000) }) : held.said);
  for (const table of place.querySelectorAll(".check")) fill(table);
}
function draw() {
  if (!place) return;
  const busy = make("p", { class: "busy", role: "status" }, held.busy ? say(held.busy, { w: held.bus, s: 0 }) : held.said);
  if (city.source.kind !== "local") return place.replaceChildren(make("p", {}, say("setup.elsewhere")));
  const faults = held.faults.map((fault) => make("p", { class: "alarm" }, [fault.code, fault.fact, fault.seen, fault.do].filter((part) => typeof part === "string" && part).join(" · ")));
  const parts = !open() ? [...values(), ...locked(), busy] : held.busy ? [busy] : [...wires(), busy, ...faults, ...units(), ...added()];
  if (!open() && faults.length) parts.push(...faults);
  if (open()) parts.push(make("div", { class: "row" }, make("span", { class: "left hint" }), button(say("setup.shut"), () => { post("close", {}); held.permit = ""; held.said = say("setup.over"); draw(); })));
  place.replaceChildren(make("div", { class: "setup" }, ...parts));
}
