// The attempts of the monitor as a timeline; an entry is fetched whole when it is opened.
import { $, count, el, fetchJson, say, text, when } from "./dom.js";

const MOOD = { verified: "good", failed: "bad", "rolled back": "bad", pending: "warn", closed: "" };
const TYPE = { restart: "Restart", code_fix: "Code fix", config_fix: "Settings" };
const FIRST = 12;
let shown = "";
let all = [];
let everything = false;

export async function showHistory(version) {
  if (version === shown) return;
  shown = version;
  all = version ? (await fetchJson("/api/history")).entries : [];
  draw();
}

function draw() {
  text($("history-count"), all.length ? `${count(all.length)} attempt${all.length > 1 ? "s" : ""} to help a worker` : "");
  const list = $("timeline");
  const open = new Set([...list.querySelectorAll("details[open]")].map((entry) => entry.dataset.key));
  const visible = everything ? all : all.slice(0, FIRST);
  const rows = visible.map((entry) => line(entry, open.has(entry.key)));
  list.replaceChildren(...(rows.length ? rows : [el("li", { class: "empty" }, "Nothing had to be repaired")]));
  $("history-more").hidden = visible.length >= all.length;
  text($("history-more"), `Show all ${count(all.length)}`);
}

function line(entry, open) {
  const body = el("div", { class: "detail" });
  const details = el("details", { "data-key": entry.key },
    el("summary", {},
      el("time", { datetime: entry.at }, when(entry.at)), el("span", {}, `Worker ${entry.worker_id}`),
      el("span", { class: "type" }, TYPE[entry.fix_type] || entry.fix_type),
      el("span", {}, el("span", { class: `pill ${MOOD[entry.verdict] || ""}` }, entry.verdict)),
      el("span", { class: "cause" }, entry.root_cause)),
    body);
  details.addEventListener("toggle", () => { if (details.open) fill(body, entry.key); });
  details.open = open;
  return el("li", {}, details);
}

async function fill(body, key) {
  try {
    const entry = await fetchJson(`/api/history/${encodeURIComponent(key)}`);
    const facts = {
      "Root cause": entry.root_cause, "What was done": entry.description, "Attempt": `${entry.attempt}, after ${entry.minutes_stuck} min (${entry.trigger})`,
      "Settings": entry.config_changes && JSON.stringify(entry.config_changes), "Validation": entry.validation, "Verdict": `${entry.verdict}${entry.reason ? `: ${entry.reason}` : ""}`,
      "LLM": entry.llm_used ? [entry.model, entry.confidence === null ? null : `confidence ${entry.confidence}`, entry.tokens ? `${count(entry.tokens)} tokens` : null].filter(Boolean).join(", ") : null,
      "Seen before": entry.recurring ? `${entry.occurrences} times` : null, "Backup": entry.backup, "Evidence": entry.evidence,
    };
    const terms = Object.entries(facts).filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
    body.replaceChildren(el("dl", {}, ...terms), ...(entry.code_changes ? [diff(entry.code_changes.full)] : []));
  } catch (error) {
    say(`The entry cannot be shown: ${error.message}`, true);
  }
}

function diff(code) {
  const kind = (row) => row.startsWith("+") ? "add" : row.startsWith("-") ? "del" : row.startsWith("@@") ? "at" : null;
  return el("pre", { class: "diff", tabindex: 0, role: "region", "aria-label": "Change of the code" }, ...code.split("\n").map((row) => el("span", { class: kind(row) }, row || " ")));
}

export function startHistory() {
  $("history-more").addEventListener("click", () => { everything = true; draw(); });
}
