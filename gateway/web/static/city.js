// What the page knows: filled by the stream, asked by the views. Ages run on the server's clock, not on the browser's.
export const city = { source: {}, points: {}, gateways: {}, devices: new Map(), alarms: [], skew: null, fresh: new Set() };

// A device's newest time as a number, once for each record: it is judged far more often than it changes.
const dated = (device) => Object.assign(device, { ms: Date.parse(device.t) });
export const now = () => (city.skew === null ? Date.now() : performance.now() + city.skew);

export function begin(message) {
  Object.assign(city, { source: message.source, points: message.points, gateways: message.gateways, alarms: message.alarms });
  city.devices = new Map(Object.entries(message.devices).map(([key, device]) => [key, dated(device)]));
  city.fresh = new Set(city.devices.keys());
  tick(message.t);
}
export function change(message) {
  for (const part of ["source", "points", "alarms"]) if (message[part]) city[part] = message[part];
  Object.assign(city.gateways, message.gateways);
  for (const key of message.gone ?? []) city.devices.delete(key);
  for (const [key, facts] of Object.entries(message.devices ?? {})) {
    city.devices.set(key, dated(Object.assign(city.devices.get(key) ?? {}, facts)));
    city.fresh.add(key);
  }
  tick(message.t);
}
export function tick(t) {
  city.skew = Date.parse(t) - performance.now();
}

// A record from the future (its clock was wrong) is no value of now; three intervals are a late clock's right.
export const ahead = (device) => device.ms - now() > 3000 * Math.max(device.every_s || 60, device.step ?? 0, 1);

// A figure tells about now for two lengths of its window; after that it is the past.
export const holds = (figure) => Math.abs(now() - Date.parse(figure.end)) <= 2000 * figure.step;
// The newest time with values, and those of the leading points: its own, or those before it failed.
export const good = (device) => (device.state === "failed" ? device.last ?? {} : device);

// A device's state, worst first: 4 gateway offline, 3 no data (older than 3 intervals, or from the future), 2 does not answer, 1 doubtful, 0 well.
export function judge(device) {
  const gateway = city.gateways[device.gateway] ?? {};
  if (gateway.up === false) return 4;
  if (!device.t) return 3;
  const interval = device.every_s || device.step ? Math.max(device.every_s ?? 0, device.step ?? 0, 1) : 0; // told once a second
  if (ahead(device)) return 3;
  if (interval && now() - device.ms > 3000 * interval) return 3;
  if (device.state !== "ok") return 2;
  return Object.keys(device.q ?? {}).length ? 1 : 0;
}
