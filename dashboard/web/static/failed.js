// Failed files: searched by the server, a page at a time.
import { $, bytes, command, count, el, fetchJson, say, text } from "./dom.js";

let next = null;
let asked = 0;
let seen = null;

export function showFailed(now) {
  const failed = now.totals ? now.totals.counts.failed : 0;
  text($("failed-count"), failed ? `${count(failed)} of this pass` : "");
  $("retry-all").hidden = !failed;
  const mark = `${now.totals?.pass_id} ${failed}`;
  // A list that somebody has paged through is left alone; a new search shows what is new.
  if (mark !== seen && (seen === null || $("failed-list").children.length <= 25)) {
    seen = mark;
    load(null);
  }
}

async function load(after) {
  const mine = ++asked;
  const query = new URLSearchParams({ q: $("failed-text").value });
  if (after) query.set("after", after);
  try {
    const found = await fetchJson(`/api/failed?${query}`);
    if (mine !== asked) return;
    const rows = found.files.map(row);
    const list = $("failed-list");
    if (after) list.append(...rows);
    else list.replaceChildren(...(rows.length ? rows : [el("li", { class: "empty" }, nothing(found))]));
    next = found.next;
    $("failed-more").hidden = !next;
    text($("failed-more"), found.cut_short ? "Search further" : "Show more");
  } catch (error) {
    if (mine === asked) say(`The failed files cannot be read now: ${error.message}`, true);
  }
}

function nothing(found) {
  if (found.cut_short) return "Nothing in the first part; search further";
  return $("failed-text").value ? "No failed file holds this text" : "No file has failed";
}

function row(file) {
  const name = file.title || `Book ${file.book_id}`;
  const button = el("button", { type: "button", class: "quiet", "aria-label": `Retry ${name}, ${file.format}` }, "Retry");
  button.addEventListener("click", () => command({ command: "retry", files: [[file.book_id, file.format]] }, null, button));
  return el("li", {}, el("bdi", { class: "title" }, name),
    el("span", { class: "why" }, `${file.format}, book ${file.book_id}${file.size ? `, ${bytes(file.size)}` : ""}: ${file.reason}${file.message ? `: ${file.message}` : ""}`), button);
}

export function startFailed() {
  let timer = null;
  $("failed-text").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => load(null), 250); });
  $("failed-search").addEventListener("submit", (event) => { event.preventDefault(); load(null); });
  $("failed-more").addEventListener("click", () => next && load(next));
  $("retry-all").addEventListener("click", () => command({ command: "retry", files: [] }, "Retry every failed file?", $("retry-all")));
}
