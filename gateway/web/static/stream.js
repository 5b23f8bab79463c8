// One EventSource. It says when it is live, when it tries again and since when; it is closed while nobody looks.
import { begin, change, tick } from "./city.js";

const SILENT_MS = 25000; // a beat comes every 10 s at the least
const HIDDEN_MS = 60000;
export const link = { live: false, since: performance.now() };
let source = null;
let news = () => {};
let heard = 0;
let hiding = 0;

function open() {
  source?.close();
  heard = performance.now();
  source = new EventSource("/events");
  const on = (name, take) =>
    source.addEventListener(name, (event) => {
      heard = performance.now();
      if (!link.live) Object.assign(link, { live: true, since: heard });
      take(JSON.parse(event.data));
      news();
    });
  on("snapshot", begin);
  on("delta", change);
  on("beat", (message) => tick(message.t));
  source.onerror = () => {
    if (link.live) Object.assign(link, { live: false, since: performance.now() });
    if (source.readyState === EventSource.CLOSED) heard = performance.now() - SILENT_MS + 2000;
  };
}
export function start(told) {
  news = told; // called with every message
  open();
  setInterval(() => {
    if (source && performance.now() - heard > SILENT_MS) {
      if (link.live) Object.assign(link, { live: false, since: performance.now() });
      open();
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (!document.hidden && !source) open();
    if (document.hidden) {
      hiding = setTimeout(() => {
        source?.close();
        source = null;
        Object.assign(link, { live: false, since: performance.now() });
      }, HIDDEN_MS);
    }
  });
}
