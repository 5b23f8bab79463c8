// The detail chart: uPlot, where it was packed. Mean as a line, minimum to maximum as a band, a null is a gap.
import uPlot from "./uplot.js";

export async function draw(place, [t, mean, min, max], facts, { clock }) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const [line, accent] = [style.getPropertyValue("--line").trim(), style.getPropertyValue("--accent").trim()];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const time = (u, marks) => marks.map((s) => clock(s * 1000).slice(0, 5));
  place.replaceChildren();
  const options = {
    width: Math.max(280, place.clientWidth), height: 280, legend: { show: false }, cursor: { drag: { x: true, y: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis, values: time, incrs: [1800, 3600, 7200, 10800, 14400, 21600] }, { ...axis, size: 60 }],
    series: [{}, { stroke: accent, width: 2, spanGaps: false }, { show: true, stroke: "transparent", spanGaps: false }, { stroke: "transparent", spanGaps: false }],
    bands: [{ series: [3, 2], fill: `${accent}44` }],
  };
  return new uPlot(options, [t, mean, min, max], place);
}
