// How the migration has ended, in the words of the terminal and the report; the reports that are kept.
import { $, count, el, fetchJson, text, when } from "./dom.js";

let seen = null;

export function showEnd(now) {
  // Asked for again only when something may have ended, or begun.
  const mark = [now.state, now.monitor.alive, now.monitor.ended, now.totals?.pass_id, now.totals?.closed_at].join(" ");
  if (mark === seen) return;
  seen = mark;
  load(mark);
}

async function load(mark) {
  try {
    const found = await fetchJson("/api/end");
    if (mark !== seen) return;
    fill(found.end);
    fillReports(found.reports);
    // The report is written a little later than the pass is closed.
    if (found.end && !found.end.report) setTimeout(() => { if (mark === seen) seen = null; }, 15000);
  } catch {
    // Asked for again with the next snapshot, which says what is wrong.
    if (mark === seen) setTimeout(() => { seen = null; }, 5000);
  }
}

function fill(end) {
  $("end").hidden = !end;
  if (!end) return;
  $("end").className = end.mood;
  text($("end-title"), end.title);
  $("end-body").replaceChildren(
    ...end.first.map((sentence) => el("p", { class: "wrong" }, sentence)),
    ...shelf(end),
    ...[end.equation, end.pace, end.audit].filter(Boolean).map((sentence) => el("p", {}, sentence)),
    ...list("What did not go", end.failures.map(failure)),
    ...list("Changed since the last run", end.changed.map(counted)),
    ...list("The server has no place for (it is kept in not_carried.jsonl)",
      end.not_carried.map((one) => el("li", {}, el("bdi", {}, one.what), `: ${count(one.n)} book${one.n === 1 ? "" : "s"}`))),
    ...list("Left out or taken otherwise", end.noticed.map(counted)),
    ...list("Next time", end.next.map((step) => el("li", {}, step.command ? `${step.what}: ` : step.what, step.command ? el("code", {}, step.command) : null))),
  );
}

function shelf(end) {
  const login = end.login ? [" (its login is in ", el("code", {}, end.login), ")"] : [];
  return end.shelf ? [el("p", {}, "Your shelf: ", link(end.shelf), ...login)] : [];
}

/** A link, if it is the address of a web server; else the text. */
function link(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !["http:", "https:"].includes(url.protocol)) return el("bdi", {}, address);
  return el("a", { href: url.href, rel: "noreferrer" }, address);
}

function list(title, rows) {
  return rows.length ? [el("h3", {}, title), el("ul", {}, ...rows)] : [];
}

function failure(one) {
  const meant = one.meant ? ` (${one.meant})` : "";
  const parts = [one.why && ` Why: ${one.why}.`, one.do && ` What to do: ${one.do}.`, one.again && ` Tried again: ${one.again}.`];
  return el("li", {}, el("b", {}, `${count(one.n)} ${one.reason}`), `${meant}.`, ...parts.filter(Boolean));
}

function counted(one) {
  return el("li", {}, `${count(one.n)} `, el("bdi", {}, one.what), one.do ? `: ${one.do}` : null);
}

function fillReports(reports) {
  $("reports").hidden = !reports.length;
  $("report-list").replaceChildren(...reports.map((one) =>
    el("li", {}, el("a", { href: `/reports/${one.pass_id}` }, `Pass ${one.pass_id}`), `, ${when(one.at)}`)));
}
