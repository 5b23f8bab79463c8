// The detail chart: uPlot, where it was packed. Mean as a line, minimum to maximum as a band, a null is a gap.
import uPlot from "./uplot.js";
import { amount } from "./words.js";

export async function draw(place, [t, mean, min, max], facts, { clock, limits }) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const [line, accent] = [style.getPropertyValue("--line").trim(), style.getPropertyValue("--accent").trim()];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const time = (u, marks) => marks.map((s) => clock(s * 1000).slice(0, 5));
  place.replaceChildren();
  const bad = style.getPropertyValue("--bad").trim();
  const lines = (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    Object.assign(ctx, { strokeStyle: bad, fillStyle: bad, textAlign: "left", font: `${12 * devicePixelRatio}px system-ui, sans-serif` });
    for (const [name, value] of limits) {
      const y = u.valToPos(value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.setLineDash([8, 5]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillText(name.replaceAll("_", " "), bbox.left + 6, y - 4);
    }
    ctx.restore();
  };
  const options = {
    width: Math.max(280, place.clientWidth), height: 280, legend: { show: false }, cursor: { drag: { x: true, y: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis, values: time, incrs: [1800, 3600, 7200, 10800, 14400, 21600] }, { ...axis, size: 92, values: (u, marks) => marks.map((mark) => amount(mark, facts)) }],
    series: [{}, { stroke: accent, width: 2, spanGaps: false }, { show: true, stroke: "transparent", spanGaps: false }, { stroke: "transparent", spanGaps: false }],
    hooks: { draw: [lines] },
    bands: [{ series: [3, 2], fill: `${accent}44` }],
  };
  return new uPlot(options, [t, mean, min, max], place);
}
