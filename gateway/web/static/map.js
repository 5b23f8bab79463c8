// The map: an outline that the city gave (or the hull of its places), a dot for each device, a scale. No tiles.
import { city, judge } from "./city.js";
import { dot, make, svg } from "./draw.js";
import { figure, title, trouble } from "./tile.js";
import { pick, say, spoken } from "./words.js";

let [W, H] = [1000, 620]; // on a phone a unit is a pixel, so that words and dots keep their size
let rings = null;

async function learn() {
  rings = [];
  const answer = await fetch("/api/outline").catch(() => null);
  if (answer?.ok) rings = (await answer.json()).rings;
}
export function map(element, open) {
  if (rings === null) learn();
  const spots = [];
  for (const [key, device] of city.devices) {
    const at = device.location ?? (city.gateways[device.gateway] ?? {}).location;
    if (at) spots.push({ key, device, x: at.longitude, y: at.latitude });
  }
  const wide = element.clientWidth - 2 || W; // without its border
  [W, H] = wide < 600 ? [wide, Math.round(wide * 1.15)] : [1000, 620];
  const text = JSON.stringify([W, spots.map(({ key, device }) => [key, judge(device), figure(device)?.level]), rings?.length, spoken()]);
  if (element.dataset.spots === text) return;
  element.dataset.spots = text;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  element.replaceChildren(spots.length ? drawn(spots, open) : make("p", { class: "empty" }, say("map.none")));
  if (focused) [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
}

// Longitudes shrink with the cosine of the latitude, so that a kilometre is as long in both directions.
function frame(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [west, east, south, north] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const narrow = Math.cos(((south + north) / 2) * (Math.PI / 180));
  const edge = W < 600 ? 140 : 160; // room for a ring of devices at one place
  const scale = Math.min((W - edge) / Math.max((east - west) * narrow, 0.006), (H - edge + 20) / Math.max(north - south, 0.004));
  const [cx, cy] = [(west + east) / 2, (south + north) / 2];
  return { at: ([x, y]) => [W / 2 + (x - cx) * narrow * scale, H / 2 - (y - cy) * scale], km: scale / 111.2 };
}
function drawn(spots, open) {
  const places = spots.map(({ x, y }) => [x, y]);
  const view = frame(rings?.length ? [...places, ...rings.flat()] : places);
  const box = svg("svg", { class: W < 600 ? "map small" : "map", viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": say("tab.map") });
  const outlines = rings?.length ? rings.map((ring) => ring.map(view.at)) : [hull(places.map(view.at))];
  for (const ring of outlines) {
    if (ring.length > 2) box.append(svg("path", { class: rings?.length ? "land" : "land hull", d: `M${ring.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z` }));
  }
  const used = new Map();
  for (const { key, device, x, y } of spots) {
    const place = `${x.toFixed(5)},${y.toFixed(5)}`;
    const n = used.get(place) ?? 0;
    used.set(place, n + 1);
    const [ring, turn] = n ? [30 + 36 * Math.ceil(n / 8), (n * Math.PI) / 4 + Math.ceil(n / 8) / 3] : [0, 0]; // several at one place stand around it
    const [px, py] = view.at([x, y]);
    const inside = (at, most) => Math.min(Math.max(at, 22), most - 22);
    box.append(spot(key, device, [inside(px + ring * Math.cos(turn), W), inside(py + ring * Math.sin(turn), H)], open));
  }
  const room = ({ longitude, latitude }) => {
    const n = used.get(`${longitude.toFixed(5)},${latitude.toFixed(5)}`) ?? 0;
    return n > 1 ? 30 + 36 * Math.ceil((n - 1) / 8) : 0; // above the ring of devices at this place
  };
  box.append(...scale(view.km), ...names(view, room));
  return box;
}
// Convex hull (monotone chain), pushed out a little from its middle.
function hull(points) {
  const sorted = [...new Map(points.map((point) => [point.join(), point])).values()].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (list) => {
    const out = [];
    for (const p of list) {
      while (out.length > 1) {
        const [a, b] = out.slice(-2);
        if ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0) break;
        out.pop();
      }
      out.push(p);
    }
    return out.slice(0, -1);
  };
  const ring = [...half(sorted), ...half([...sorted].reverse())];
  const [mx, my] = [0, 1].map((i) => ring.reduce((sum, p) => sum + p[i], 0) / Math.max(ring.length, 1));
  return ring.map(([x, y]) => {
    const far = Math.max(Math.hypot(x - mx, y - my), 1);
    const out = W < 600 ? 25 : 45;
    return [x + ((x - mx) / far) * out, y + ((y - my) / far) * out];
  });
}
function scale(km) {
  const long = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200].filter((one) => one * km < W / 4).at(-1) ?? 0.1;
  const words = svg("text", { x: 30, y: H - 34 });
  words.textContent = long < 1 ? `${long * 1000} m` : `${long} km`;
  return [svg("path", { class: "scale", d: `M30 ${H - 26}v8h${(long * km).toFixed(1)}v-8` }), words];
}
function names(view, room) {
  const placed = Object.values(city.gateways).filter((gateway) => gateway.location);
  if (placed.length > 25 || (placed.length === 1 && W < 600)) return []; // a single one stands in the head
  return placed.map((gateway) => {
    const [x, y] = view.at([gateway.location.longitude, gateway.location.latitude]);
    const words = svg("text", { x: x.toFixed(1), y: (y - 28 - room(gateway.location)).toFixed(1), "text-anchor": "middle", class: "place" });
    words.textContent = pick(gateway.name, gateway.id);
    return words;
  });
}
function spot(key, device, [x, y], open) {
  const state = judge(device);
  const name = `${title(device)}: ${state >= 2 ? trouble(device, state) : figure(device)?.big || say("q.good")}`;
  const group = svg("g", { class: "dot", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, tabindex: 0, role: "button", "aria-label": name, "data-key": key });
  const tip = svg("title");
  tip.textContent = name;
  group.append(tip, svg("circle", { class: "reach", r: 22 }), dot(state >= 2 ? -1 : Math.max(figure(device)?.level ?? 0, 0), 34));
  group.addEventListener("click", () => open(key));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open(key);
  });
  return group;
}
