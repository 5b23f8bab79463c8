// The page: takes over the server's table, then one render a second from what the stream brought.
import { city, judge } from "./city.js";
import * as detail from "./detail.js";
import { make, put } from "./draw.js";
import { map } from "./map.js";
import { setup } from "./setup.js";
import { start } from "./stream.js";
import * as views from "./views.js";
import { learn, say, speak, spoken } from "./words.js";

const memory = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {} // storage may be refused; the page works without it
  return value;
};
const root = document.documentElement;
const parts = {};
let tab = "";
let redraw = true;

function build() {
  document.body.classList.add("taken");
  const [head, main] = [document.getElementById("head"), document.getElementById("main")];
  parts.title = head.querySelector("h1");
  parts.words = make("span");
  parts.status = make("span", { class: "status", role: "status" }, make("span"), parts.words);
  parts.clock = make("span", { class: "clock" });
  parts.lang = make("button", { type: "button" });
  parts.theme = make("button", { type: "button" }, "◐");
  parts.cvd = make("button", { type: "button" }, "◍");
  head.append(parts.status, make("div", { class: "tools" }, parts.lang, parts.theme, parts.cvd));
  parts.alarms = make("section", { id: "alarms", "aria-live": "polite", "aria-atomic": "false" }, make("p"), make("ul"));
  parts.tabs = make("div", { class: "tabs", role: "tablist" });
  parts.panel = make("div", { id: "panel", role: "tabpanel", tabindex: -1 });
  parts.grid = make("ul", { class: "grid" });
  parts.hint = make("p", { class: "empty" });
  parts.end = make("p", { class: "hint" });
  parts.map = make("div");
  parts.setup = make("div");
  parts.panel.append(parts.hint, parts.grid, parts.map, parts.setup, parts.end);
  main.replaceChildren(parts.alarms, parts.tabs, parts.panel);
  parts.foot = make("span");
  parts.data = make("a", { class: "link", href: "/export/latest.csv" });
  document.body.append(make("footer", {}, parts.foot, parts.data));
  listen();
}

function listen() {
  parts.lang.addEventListener("click", () => {
    speak(memory("lang", spoken() === "th" ? "en" : "th"));
    redraw = true;
    render();
  });
  parts.theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = memory("theme", dark ? "light" : "dark");
  });
  parts.cvd.addEventListener("click", () => {
    root.dataset.cvd = memory("cvd", root.dataset.cvd === "on" ? "off" : "on");
    put(parts.cvd, parts.cvd.textContent);
    label();
  });
  parts.tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = [...parts.tabs.children];
    if (!step || !tabs.length) return;
    const at = tabs.findIndex((one) => one.dataset.kind === tab);
    select(tabs[(at + step + tabs.length) % tabs.length].dataset.kind);
    parts.tabs.querySelector("[aria-selected=true]").focus();
  });
  new IntersectionObserver((seen) => {
    if (seen[0].isIntersecting && Number(parts.grid.dataset.more) > 0) {
      views.more();
      render();
    }
  }).observe(parts.end);
}

function select(kind) {
  tab = memory("tab", kind);
  redraw = true;
  render();
}

function label() {
  document.title = say("title");
  put(parts.lang, say("language"));
  parts.lang.lang = spoken() === "th" ? "en" : "th";
  for (const [name, key] of [["theme", "theme"], ["cvd", "cvd"]]) {
    parts[name].title = say(key);
    parts[name].setAttribute("aria-label", say(key));
  }
  parts.cvd.setAttribute("aria-pressed", root.dataset.cvd === "on");
  put(document.querySelector(".skip"), say("skip"));
  put(parts.data, say("export"));
  const gateways = Object.values(city.gateways);
  const name = gateways.length === 1 ? gateways[0].name?.[spoken()] || gateways[0].name?.en || gateways[0].id : say("title");
  put(parts.title, name);
}

function drawTabs() {
  const kinds = views.kinds();
  if (!kinds.includes(tab)) tab = kinds[0];
  const bad = new Map();
  for (const device of city.devices.values()) if (judge(device) >= 2) for (const kind of ["all", device.kind]) bad.set(kind, (bad.get(kind) ?? 0) + 1);
  const text = JSON.stringify([kinds, tab, [...bad], spoken()]);
  if (parts.tabs.dataset.shown === text) return;
  parts.tabs.dataset.shown = text;
  const focused = parts.tabs.contains(document.activeElement);
  const buttons = kinds.map((kind) => {
    const chosen = kind === tab;
    const button = make("button", { type: "button", role: "tab", id: `tab-${kind}`, "aria-selected": chosen, "aria-controls": "panel", tabindex: chosen ? 0 : -1 }, views.kindName(kind));
    button.dataset.kind = kind;
    if (bad.get(kind)) button.append(make("span", { class: "count", title: say("trouble.n", { n: bad.get(kind) }) }, `! ${bad.get(kind)}`));
    button.addEventListener("click", () => select(kind));
    return button;
  });
  parts.tabs.replaceChildren(...buttons);
  if (focused) parts.tabs.querySelector("[aria-selected=true]").focus();
  parts.panel.setAttribute("aria-labelledby", `tab-${tab}`);
}

function render() {
  label();
  views.status(parts.status, parts.words);
  put(parts.foot, views.footer());
  if (city.skew === null) return;
  views.alarms(parts.alarms, detail.open);
  drawTabs();
  put(parts.hint, city.devices.size || tab === "setup" ? "" : say("nothing"));
  const list = !["gateways", "map", "setup"].includes(tab);
  parts.grid.hidden = ["map", "setup"].includes(tab);
  parts.map.hidden = tab !== "map";
  parts.setup.hidden = tab !== "setup";
  if (redraw) parts.grid.replaceChildren();
  if (list) views.tileList(parts.grid, tab, detail.open, redraw);
  if (tab === "gateways") views.gateways(parts.grid);
  if (tab === "map") map(parts.map, detail.open);
  if (tab === "setup") setup(parts.setup);
  const more = parts.grid.hidden ? 0 : Number(parts.grid.dataset.more);
  put(parts.end, more > 0 ? say("more", { n: more }) : "");
  city.fresh.clear();
  redraw = false;
}

for (const name of ["theme", "cvd"]) if (memory(name)) root.dataset[name] = memory(name);
tab = memory("tab") ?? "";
await learn(memory("lang") ?? document.documentElement.lang);
build();
let drawnAt = 0;
const draw = () => {
  drawnAt = performance.now();
  render();
};
start(draw); // what arrives is shown at once; ages go on without it
draw();
setInterval(() => performance.now() - drawnAt > 950 && draw(), 250);
