// One device in full: every point, a chart of 24 h with band and gaps, CSV. Asks once a second while it is open.
import { city, good, judge, now } from "./city.js";
import { make, put, spark, upTo } from "./draw.js";
import { title, trouble } from "./tile.js";
import { amount, clock, pick, quality, say, spoken } from "./words.js";

const LENGTHS_S = { "5s": 5, "10s": 10, "1m": 60, "5m": 300, "10m": 600, "15m": 900 };
const DAY_S = 86400;
let key = "";
let timer = 0;
let point = "";
let box = null;

export function open(chosen) {
  key = chosen;
  const device = city.devices.get(key);
  point = device.lead[0] ?? device.points[0] ?? "";
  box?.remove();
  box = frame(device);
  document.body.append(box);
  box.addEventListener("close", () => {
    clearInterval(timer);
    box.remove();
  });
  box.showModal();
  clearInterval(timer);
  timer = setInterval(values, 1000);
  values();
  chart();
}

function frame(device) {
  const close = make("button", { type: "button" }, say("close"));
  const heading = make("h2", { id: "detail-title" }, title(device));
  const dialog = make("dialog", { "aria-labelledby": "detail-title" }, make("div", { class: "bar" }, heading, close));
  close.addEventListener("click", () => dialog.close());
  const choose = make("select", { "aria-label": say("point") });
  for (const name of device.points) choose.append(make("option", { value: name }, pick(city.points[name], name)));
  choose.value = point;
  choose.addEventListener("change", () => {
    point = choose.value;
    chart();
  });
  const csv = device.window ? make("a", { class: "link", href: `/api/history?key=${encodeURIComponent(key)}&stream=${device.window}&format=csv` }, say("csv")) : "";
  const row = make("div", { class: "row" }, choose, csv);
  const grafana = document.querySelector("meta[name=citygate-grafana]")?.content;
  if (grafana) row.append(make("a", { class: "link", href: board(grafana, device), rel: "noreferrer" }, say("grafana")));
  const facts = make("p", { class: "hint" }, [device.gateway, device.id, device.profile, device.serial].filter(Boolean).join(" · "));
  const head = ["point", "value", "quality"].map((word) => make("th", { scope: "col", class: word === "value" ? "n" : null }, say(word)));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody"));
  dialog.append(make("div", { class: "inner" }, facts, make("p", { class: "trouble" }), row, make("div", { class: "chart" }), make("p", { class: "hint what" }), make("p", { class: "limits" }), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": say("value") }, table)));
  return dialog;
}

// The dashboard of the device's field (deploy/grafana), on this device, over the same 24 hours.
function board(grafana, device) {
  const field = ["air", "traffic", "energy"].includes(device.kind) ? device.kind : "city";
  const query = new URLSearchParams({ "var-gateway": device.gateway.split("/").at(-1), "var-device": device.id, from: "now-24h", to: "now" });
  return `${grafana}/d/citygate-${field}?${query}`;
}

function last(device) {
  const [name, value] = Object.entries(good(device).v ?? {}).find(([, one]) => one !== null) ?? [];
  return name && `${pick(city.points[name], name)} ${amount(value, city.points[name])}`;
}
async function values() {
  const device = city.devices.get(key);
  if (!device) return;
  const state = judge(device);
  put(box.querySelector(".trouble"), state >= 2 ? trouble(device, state, last(device)) : "");
  const answer = await fetch(`/api/device?key=${encodeURIComponent(key)}`).catch(() => null);
  if (!answer?.ok) return;
  const { all } = await answer.json();
  const rows = device.points.map((name) => {
    const q = all.q?.[name] ?? all.q?.["*"];
    const shown = state >= 3 ? "–" : amount(all.v?.[name], city.points[name]);
    const fit = q ? quality(q) : all.v?.[name] === undefined ? "" : say("q.good");
    const cells = [pick(city.points[name], name), shown, state >= 3 && device.t ? say("q.stale") : fit];
    return make("tr", {}, ...cells.map((text, i) => make("td", i === 1 ? { class: "n" } : {}, text)));
  });
  box.querySelector("tbody").replaceChildren(...rows);
}

// The point's thresholds: alarm limits of the config, as lines in the chart and in words below it.
function thresholds() {
  const facts = city.points[point] ?? {};
  const held = Object.entries(city.devices.get(key)?.limits?.[point] ?? {}).filter(([, value]) => typeof value === "number");
  const words = held.map(([name, value]) => make("span", {}, `┅ ${say("limit")} ${name.replaceAll("_", " ")}: ${amount(value, facts)}`));
  box.querySelector(".limits").replaceChildren(...words);
  return held;
}
async function chart() {
  const [place, what, asked] = [box.querySelector(".chart"), box.querySelector(".what"), point];
  const stream = city.devices.get(key)?.window;
  const limits = thresholds();
  if (!stream) {
    place.replaceChildren();
    put(what, say("history.short"));
    return;
  }
  const address = `/api/history?key=${encodeURIComponent(key)}&stream=${stream}&point=${encodeURIComponent(point)}`;
  const answer = await fetch(address).catch(() => null);
  if (asked !== point) return;
  if (!answer?.ok) {
    const held = city.devices.get(key)?.spark;
    place.replaceChildren(...(held && asked === city.devices.get(key).lead[0] ? [spark(upTo(held, now()), 900, 160, limits.map(([, value]) => value))] : []));
    put(what, say("history.none", { why: answer ? (await answer.text()).trim() : "" }));
    return;
  }
  const { records } = await answer.json();
  const data = grid(records, LENGTHS_S[stream]);
  const plain = document.querySelector("meta[name=citygate-chart]")?.content !== "yes";
  const facts = city.points[point] ?? {};
  const known = [...data[1], ...data[2], ...data[3]].filter((v) => v !== null);
  const reach = known.length ? ` · ${say("min")} ${amount(Math.min(...known), facts)} · ${say("max")} ${amount(Math.max(...known), facts)}` : "";
  put(what, `${pick(facts, point)}, ${amount(NaN, facts).replace("NaN", "").trim()} · ${say("last24")}${reach}${plain ? ` · ${say("chart.plain")}` : ""}`);
  if (plain || !data[0].length) place.replaceChildren(spark(data[1], 900, 160, limits.map(([, value]) => value)));
  else await (await import("./chart.js")).draw(place, data, facts, { clock, limits });
}

// The windows of the 24 h before now in a row; one that is missing stays null, so no chart can bridge it, nor end at the
// last value of a device that is silent since. A window may come a minute after its end.
export function grid(records, step) {
  const begin = (ms) => Math.floor(ms / 1000 / step) * step;
  const found = new Map(records.map((record) => [begin(Date.parse(record.t)), record.v?.[point]]));
  const columns = [[], [], [], []];
  if (!found.size) return columns;
  const last = [...found.keys()].reduce((newest, t) => Math.max(newest, t), begin(now() - 60000) - step);
  for (let t = last - DAY_S + step; t <= last; t += step) {
    const v = found.get(t);
    const mean = v?.mean ?? v?.sum ?? v?.delta ?? v?.last ?? null;
    columns[0].push(t);
    columns[1].push(mean);
    columns[2].push(v?.min ?? null);
    columns[3].push(v?.max ?? null);
  }
  return columns;
}
