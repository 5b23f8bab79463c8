// One device as a tile: name, figure, values, quality, age, 24 h. Updated in place.
import { ahead, city, good, holds, now } from "./city.js";
import { make, mark, meter, put, spark, upTo } from "./draw.js";
import { age, amount, pick, quality, say, since } from "./words.js";

export function title(device) {
  const name = pick(device.name, device.id);
  const lane = device.lane && pick(device.lane.name);
  return lane ? `${name}, ${lane}` : name;
}
const place = (device) => {
  if (Object.keys(city.gateways).length < 2) return "";
  return pick((city.gateways[device.gateway] ?? {}).name, device.gateway);
};
const shown = (v, point) => `${pick(city.points[point], point)} ${amount(v[point], city.points[point])}`;
const texts = (v = {}) => Object.keys(v).filter((point) => v[point] !== null).map((point) => shown(v, point));

// The city figure of a tile: { level, text, big, note, share }, or null. Figures of before are the past: `last` has them too.
export function figure(device, last = false) {
  const figures = Object.fromEntries(Object.entries(device.figures ?? {}).filter(([, one]) => last || holds(one)));
  if (device.kind === "air") return air(figures.aqi_th, device);
  // a flow is shown of what counts vehicles; a speed sign reports one vehicle several times
  if (device.kind === "traffic" && figures.flow && device.points.some((point) => /^vehicle_(count|total)$/.test(point))) {
    const { flow, density } = figures;
    const letter = density ? "ABCDEF"[density.level - 1] : "";
    const los = letter ? say("los", { l: letter }) : "";
    const level = density ? Math.min(density.level, 5) : 0;
    const span = say("mean.of", { span: age(flow.step * 1000) });
    return { end: flow.end, level, text: letter, big: `${Math.round(flow.value)} ${say("veh.h")}`, note: [los, span].filter(Boolean).join(" · ") };
  }
  if (device.kind === "energy" && figures.demand_kw) return demand(figures.demand_kw, device);
  if (device.kind === "water" && figures.stage) {
    const rise = figures.rate_of_rise ? ` · ${say("rise")} ${(figures.rate_of_rise.value * 100).toFixed(1)} ${say("cm.h")}` : "";
    const bank = figures.bank_percent;
    const share = bank ? ` · ${say("bank")} ${bank.value.toFixed(0)} %` : "";
    return { end: figures.stage.end, level: bank?.level ?? 0, text: bank ? String(bank.level) : "", big: `${say("stage")} ${figures.stage.value.toFixed(2)} m`, note: `${share}${rise}`.replace(/^ · /, "") };
  }
  return null;
}
function air(aqi, device) {
  if (!aqi) return device.points.includes("pm2_5") ? { level: 0, text: "", big: "", note: say("aqi.none") } : null;
  const level = Math.min(Math.max(aqi.level, 1), 5);
  const value = aqi.value > 200 ? "≥201" : String(Math.round(aqi.value));
  const span = age(parseInt(aqi.span, 10) * 3600000);
  return {
    end: aqi.end, level, text: String(level), big: `${say("aqi")} ${value} ${say(`aqi.${level}`)}`,
    note: say("aqi.note", { span, share: Math.round((aqi.coverage ?? 1) * 100) }),
  };
}
function demand(figure, device) {
  const limit = device.limits?.power_active?.demand;
  const kw = `${say("demand")} ${figure.value.toFixed(2)} kW`;
  const { end } = figure;
  if (!limit) return { end, level: -1, text: "", big: kw, note: "" };
  const share = (figure.value * 1000) / limit;
  const note = say("demand.limit", { p: Math.round(share * 100), v: `${(limit / 1000).toFixed(1)} kW` });
  return { end, level: -1, text: "", big: kw, note, share };
}

export class Tile {
  constructor(key, open) {
    this.key = key;
    const part = (name, wide) => (this[name] = make("span", { class: name + (wide ? " wide" : "") }));
    this.head = make("span", { class: "head" }, part("name"), part("where"));
    this.box = make("button", { class: "tile", type: "button", "aria-haspopup": "dialog" }, part("badge"), make("span", { class: "main" }, this.head, part("big"), part("note")));
    this.box.append(part("trouble", true), part("values", true), part("graph", true));
    this.foot = make("span", { class: "foot wide" }, part("quality"), part("old"));
    this.box.append(this.foot);
    this.box.addEventListener("click", () => open(this.key));
    this.element = make("li", {}, this.box);
    this.seen = {};
  }
  changed(name, value) {
    const text = JSON.stringify(value) ?? "";
    const fresh = this.seen[name] !== text;
    this.seen[name] = text;
    return fresh;
  }
  update(device, state, lang) {
    put(this.name, title(device));
    put(this.where, place(device));
    this.box.classList.toggle("bad", state >= 2);
    const figure_ = state >= 2 ? past(device) : figure(device);
    if (this.changed("badge", [figure_, lang])) {
      this.badge.replaceChildren(...(figure_ && figure_.level >= 0 ? [mark(figure_.level, figure_.text)] : []));
      put(this.big, figure_?.big ?? "");
      this.note.replaceChildren(figure_?.note ?? "");
      if (figure_?.share !== undefined) this.note.append(meter(figure_.share));
    }
    this.values_(device, state);
    this.quality_(device, state);
    const y = upTo(device.spark, now());
    if (this.changed("spark", y)) this.graph.replaceChildren(...(y ? [spark(y)] : []));
  }
  values_(device, state) {
    put(this.trouble, trouble(device, state, texts(good(device).v)[0]));
    this.trouble.title = state === 3 ? say("rule", { age: age(3000 * Math.max(device.every_s ?? 0, device.step ?? 0, 1)) }) : "";
    const rows = state >= 2 ? [] : texts(device.v);
    if (this.changed("values", rows)) this.values.replaceChildren(...rows.map((text) => make("span", {}, text)));
  }
  quality_(device, state) {
    const doubts = new Map(); // points by what is said of them: said once
    for (const [point, q] of state >= 2 ? [] : Object.entries(device.q ?? {})) {
      doubts.set(q, [...(doubts.get(q) ?? []), ...(point === "*" ? [] : [pick(city.points[point], point)])]);
    }
    const words = [...doubts].map(([q, names]) => (names.length ? `${names.join(", ")}: ${quality(q)}` : quality(q)));
    put(this.quality, words.join("; "));
    if (!device.t || state >= 2) return put(this.old, ""); // `trouble` says since when
    const span = device.step ? `${say("mean.of", { span: age(device.step * 1000) })}, ` : "";
    put(this.old, span + say("age", { age: age(now() - Date.parse(device.t)) }));
  }
}
// What a device in trouble told last: words with their time, no mark, no meter, nothing that looks like now.
function past(device) {
  const told = figure(device, true);
  if (!told?.big) return null;
  return { level: -1, text: "", big: "", note: `${say("last.was", { v: told.big })} (${since(told.end, now())})` };
}
export function trouble(device, state, last) {
  const was = last ? ` (${say("last.was", { v: last })})` : "";
  if (state === 3 && device.t && ahead(device)) return say("ahead") + was;
  const { t } = good(device);
  const silent = t ? say("no.data", { age: age(now() - Date.parse(t)) }) + was : "";
  if (state === 3) return silent || say("no.data.yet");
  const what = state === 4 ? say("offline") : state === 2 ? `${say("failed")}: ${quality(Object.values(device.q ?? {})[0] ?? "")}` : "";
  return [what, what && silent].filter(Boolean).join(", ");
}
