// Charts by uPlot, redrawn every ten seconds and when the window or the colours change.
import { $, decimal, el, fetchJson, text } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const CHARTS = [
  { id: "plot-files", key: "files_per_min", line: "--files", now: "files-now", unit: "" },
  { id: "plot-bytes", key: "mb_per_second", line: "--bytes", now: "bytes-now", unit: " MB/s" },
  { id: "plot-disk", key: "disk", line: "--disk", now: "disk-now", unit: " %", top: 100, limits: true },
  { id: "plot-workers", key: "running", line: "--running", now: "workers-now", unit: "", steps: true, short: true },
];
const plots = new Map();
let thresholds = { saturated: 90, normal: 50 };
let data = null;

export function setThresholds(given) {
  thresholds = given;
}

export async function refreshCharts() {
  const chosen = document.querySelector("input[name=window]:checked").value;
  data = await fetchJson(`/api/series?window=${chosen}`);
  draw();
}

function draw() {
  if (data) CHARTS.forEach(drawOne);
}

function drawOne(chart) {
  const place = $(chart.id);
  const values = data[chart.key];
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  text($(chart.now), last === undefined ? "" : `${decimal(last, 2)}${chart.unit}`);
  place.setAttribute("role", "img");
  if (data.at.length < 2 || !known.length) {
    drop(chart.id);
    const why = data.at.length < 2 ? "Not enough data yet" : "Cannot be measured on this machine";
    place.setAttribute("aria-label", why);
    place.replaceChildren(el("p", { class: "empty" }, why));
    return;
  }
  const peak = Math.max(...known);
  place.setAttribute("aria-label", `${place.parentNode.querySelector("figcaption").firstChild.textContent.trim()}: now ${decimal(last, 2)}${chart.unit}, highest ${decimal(peak, 2)}${chart.unit}`);
  const columns = [data.at, values, ...(chart.limits ? limits() : [])];
  const known_plot = plots.get(chart.id);
  if (known_plot) known_plot.setData(columns);
  else {
    place.replaceChildren();
    plots.set(chart.id, new uPlot(options(chart, place), columns, place));
  }
}

function limits() {
  return [thresholds.saturated, thresholds.normal].map((limit) => data.at.map(() => limit));
}

function options(chart, place) {
  const soft = colour("--soft"), line = colour("--line"), ink = colour(chart.line);
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const dashed = { stroke: colour("--limit"), width: 1, dash: [5, 4], points: { show: false } };
  const many = data.at.length > 8;
  return {
    width: Math.max(place.clientWidth, 200), height: place.clientHeight, padding: [8, 8, 0, 0],
    cursor: { show: false }, legend: { show: false },
    scales: { x: { time: true }, y: { range: (_plot, _low, high) => [0, chart.top || (high > 0 ? high * 1.1 : 1)] } },
    axes: [{ ...axis, size: 28, gap: 8, space: 70, values: [[86400, "{D} {MMM}", null, null, null, null, null, null, 1], [3600, "{HH}:{mm}", null, null, null, null, null, null, 1], [60, "{HH}:{mm}", null, null, null, null, null, null, 1], [0.001, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] },
      { ...axis, size: 42, space: 32, incrs: chart.steps ? [1, 2, 4] : undefined }],
    series: [{}, { stroke: ink, fill: `${ink}22`, width: 1.75, paths: chart.steps ? uPlot.paths.stepped({ align: -1 }) : undefined, points: { show: !many } },
      ...(chart.limits ? [dashed, { ...dashed, stroke: soft }] : [])],
  };
}

function drop(id) {
  plots.get(id)?.destroy();
  plots.delete(id);
}

function redraw() {
  CHARTS.forEach(({ id }) => drop(id));
  draw();
}

export function startCharts() {
  const again = () => { if (!document.hidden) refreshCharts().catch(() => {}); };
  document.querySelectorAll("input[name=window]").forEach((radio) => radio.addEventListener("change", again));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = 0;
  new ResizeObserver(([seen]) => {
    if (Math.abs(seen.contentRect.width - width) > 4) { width = seen.contentRect.width; redraw(); }
  }).observe($("charts"));
  setInterval(again, 10000);
  again();
}
