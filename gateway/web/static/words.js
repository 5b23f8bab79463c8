// The page's words, numbers, ages and times. Texts that come from devices are only ever set as text, never as markup.
const UNITS = { "ug/m3": "µg/m³", Cel: "°C", deg: "°", m3: "m³", "m3/h": "m³/h", "1": "" };
const LOCALE = { en: "en-GB", th: "th-TH-u-ca-buddhist-nu-latn" };
export const ZONE = "Asia/Bangkok";
let table = {};
let lang = "en";

export async function learn(chosen) {
  const answer = await fetch("/static/texts.json");
  table = await answer.json();
  speak(chosen);
}
export function speak(chosen) {
  lang = chosen === "th" ? "th" : "en";
  document.documentElement.lang = lang;
}
export const spoken = () => lang;
export const knows = (key) => key in table;
export function say(key, parts = {}) {
  const row = table[key];
  let text = row ? row[lang] : key;
  for (const [name, part] of Object.entries(parts)) text = text.replace(`{${name}}`, part);
  return text;
}
export const pick = (names, other = "") => (names && (names[lang] || names.en)) || other;

export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return say("unit.s", { n: s });
  if (s < 6000) return say("unit.min", { n: Math.round(s / 60) });
  if (s < 172800) return say("unit.h", { n: Math.round(s / 3600) });
  return say("unit.d", { n: Math.round(s / 86400) });
}
export function amount(value, facts = {}) {
  if (typeof value !== "number") return "–";
  let unit = facts.unit ?? "";
  let digits = Math.min(facts.digits ?? 2, 4);
  if (/^(W|var|VA)$/.test(unit) && Math.abs(value) >= 1000) {
    [value, unit, digits] = [value / 1000, `k${unit}`, 2];
  }
  const shown = UNITS[unit] ?? unit;
  return shown ? `${value.toFixed(digits)} ${shown}` : value.toFixed(digits);
}
export function clock(ms, withDate = false) {
  const parts = { timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (withDate) Object.assign(parts, { day: "numeric", month: "short", year: "numeric" });
  return new Intl.DateTimeFormat(LOCALE[lang], parts).format(ms);
}
export function since(t, now) {
  const ms = Date.parse(t);
  if (Number.isNaN(ms)) return "";
  return clock(ms, now - ms > 72000000);
}
export function quality(q) {
  const words = q.split("+").map((code) => {
    const key = `q.${code.replace(/^[ub]:/, "")}`;
    return knows(key) ? say(key) : code;
  });
  return words.join(", ");
}
