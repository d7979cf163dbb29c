// The headline, the outcomes, the facts, and one row per worker.
import { $, bytes, command, count, decimal, el, span, text } from "./dom.js";

const STATES = {
  running: ["Running", "good"], waiting: ["Waiting", "warn"], stopped: ["Stopped", "bad"], finished: ["Finished", "good"],
  watching: ["Watching", "good"], none: ["Not started", ""], unreadable: ["No data", "bad"],
};
const OUTCOMES = [["uploaded", "uploaded"], ["duplicate", "there already"], ["skipped", "skipped"], ["failed", "failed"]];
const CSS = { failed: "failed-files" };

export function showProgress(now) {
  const [word, mood] = STATES[now.state] || [now.state, ""];
  text($("state"), word);
  $("state").className = `pill ${mood}`;
  showMonitor(now);
  const found = now.totals;
  if (!found) {
    text($("where"), "No pass has been opened yet");
    return;
  }
  const counts = found.counts;
  const settled = counts.discovered - counts.pending;
  const total = found.total;
  const share = total === null ? null : total ? (100 * settled) / total : 100;
  // Rounded down: 100 % is said only when nothing is left.
  const shown = share === null ? "–" : `${(Math.floor(share * 10) / 10).toFixed(1)} %`;
  text($("percent"), shown);
  document.title = share === null ? "Migration" : `${shown} · Migration`;
  text($("where"), total === null ? `${count(settled)} files settled; the total is not known` : `${count(settled)} of ${count(total)} files settled`);
  text($("eta"), eta(now));
  showBar(counts, total, share);
  showFacts(now, found);
}

function eta(now) {
  if (now.totals.closed_at) return "Everything is accounted for";
  if (now.state === "stopped") return `Nobody works on it now; ${now.start} goes on`;
  if (!now.eta) return "Time left: not known yet";
  const { seconds, earliest, latest } = now.eta;
  const between = [span(earliest), span(latest)];
  return between[0] === between[1] ? `About ${span(seconds)} left` : `About ${span(seconds)} left, between ${between[0]} and ${between[1]} as the rate has varied`;
}

function showBar(counts, total, share) {
  const bar = $("bar");
  if (!bar.children.length) OUTCOMES.forEach(([name]) => bar.append(el("span", { class: CSS[name] || name })));
  const whole = total || counts.discovered || 1;
  OUTCOMES.forEach(([name], i) => { bar.children[i].style.width = `${(100 * counts[name]) / whole}%`; });
  if (share === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", share.toFixed(1));
  const list = $("outcomes");
  if (!list.children.length) {
    OUTCOMES.concat([["rest", "to do"]]).forEach(([name, label]) =>
      list.append(el("li", {}, el("i", { class: CSS[name] || name }), el("b", {}), ` ${label}`)));
  }
  const left = total === null ? counts.pending : total - (counts.discovered - counts.pending);
  [...OUTCOMES.map(([name]) => counts[name]), left].forEach((n, i) => text(list.children[i].querySelector("b"), count(n)));
}

function showFacts(now, found) {
  const end = found.closed_at ? new Date(found.closed_at) : new Date(now.at);
  const facts = {
    "Files per minute": decimal(found.closed_at ? average(found, end) : now.rate_files_per_min),
    "Upload": now.mb_per_second === null || found.closed_at ? "–" : `${bytes(now.mb_per_second * 1e6)}/s`,
    "Uploaded": bytes(found.bytes_uploaded),
    [found.closed_at ? "Took" : "Running for"]: span((end - new Date(found.opened_at)) / 1000),
    "Pass": String(found.pass_id),
    "State disk": `${decimal(now.state_disk.used_percent, 0)} % full`,
    // Names of tags and authors: shown as text, like everything else.
    ...(found.selection ? { "Selection": found.selection.replace(/^selection: /, "") } : {}),
  };
  const list = $("facts");
  if (list.children.length !== Object.keys(facts).length) {
    list.replaceChildren(...Object.keys(facts).map(() => el("div", {}, el("dt"), el("dd"))));
  }
  Object.entries(facts).forEach(([name, value], i) => {
    text(list.children[i].firstChild, name);
    text(list.children[i].lastChild, value);
  });
}

/** Of a pass that is over: what it came to. */
function average(found, end) {
  const minutes = (end - new Date(found.opened_at)) / 60000;
  return minutes > 0 ? (found.counts.discovered - found.counts.pending) / minutes : 0;
}

function showMonitor(now) {
  const { alive, stale, heartbeat_age_seconds: age, ended } = now.monitor;
  const beat = age === null ? "" : `, last look ${span(age)} ago`;
  const wrong = stale && now.state !== "none";
  const words = alive ? `Monitor runs${beat}${stale ? ": stale" : ""}` : ended === "completed" ? "Monitor is done" : "No monitor runs";
  text($("monitor"), words);
  $("monitor").className = wrong ? "beat bad" : "beat";
  $("watch").hidden = !now.watch;
  text($("watch"), now.watch ? `Library: ${now.watch.text}` : "");
  $("watch").className = now.watch && now.watch.trouble ? "aside bad" : "aside";
  $("script").hidden = !now.changed_script;
  text($("script"), now.changed_script || "");
}

// -- workers ---------------------------------------------------------------------------------------------------

const rows = new Map();

export function showWorkers(now) {
  const list = $("worker-list");
  const desired = now.desired_workers;
  text($("staffing"), desired === null ? "" : `${desired} of ${now.target_workers} desired`);
  if (!now.workers.length) {
    rows.clear();
    list.replaceChildren(el("li", { class: "empty" }, "No worker has started yet"));
    return;
  }
  if (!rows.size) list.replaceChildren();
  for (const worker of now.workers) {
    if (!rows.has(worker.worker_id)) rows.set(worker.worker_id, row(worker.worker_id, list));
    fill(rows.get(worker.worker_id), worker);
  }
  for (const [number, parts] of rows) {
    if (!now.workers.some((worker) => worker.worker_id === number)) {
      parts.row.remove();
      rows.delete(number);
    }
  }
}

function row(number, list) {
  const parts = {
    phase: el("span", { class: "pill" }), files: el("div", { class: "files" }), numbers: el("div", { class: "numbers" }),
    pause: el("button", { class: "quiet", type: "button" }), restart: el("button", { class: "quiet", type: "button", "aria-label": `Restart worker ${number}` }, "Restart"),
  };
  parts.pause.addEventListener("click", () => command({ command: parts.paused ? "resume" : "pause", worker_id: number },
    parts.paused ? null : `Pause worker ${number}? It is stopped, and the others take over its books.`, parts.pause));
  parts.restart.addEventListener("click", () => command({ command: "restart", worker_id: number },
    `Restart worker ${number}? Files it is sending are tried again.`, parts.restart));
  parts.row = el("li", { "data-worker": number }, el("div", { class: "who" }, `Worker ${number}`, parts.phase), parts.files, parts.numbers,
    el("div", { class: "buttons" }, parts.pause, parts.restart));
  list.append(parts.row);
  return parts;
}

function phaseOf(worker) {
  if (worker.paused) return [worker.paused_by_hand ? "paused by you" : "paused", "bad"];
  if (worker.stuck) return ["stuck", "bad"];
  if (!worker.lives) return worker.status === "completed" ? ["completed", ""] : ["gone", "warn"];
  return [worker.status, worker.status === "waiting" ? "warn" : "good"];
}

function fill(parts, worker) {
  const [word, mood] = phaseOf(worker);
  text(parts.phase, word);
  parts.phase.className = `pill ${mood}`;
  parts.paused = worker.paused;
  const action = worker.paused ? "Resume" : "Pause";
  text(parts.pause, action);
  parts.pause.setAttribute("aria-label", `${action} worker ${worker.worker_id}`);
  const done = !worker.known_to_monitor || (worker.status === "completed" && !worker.lives);
  parts.pause.hidden = done;
  parts.restart.hidden = done || worker.paused;
  fillFiles(parts.files, worker);
  const attempts = worker.attempts ? `${worker.attempts} attempt${worker.attempts > 1 ? "s" : ""} to help` : null;
  const lines = [
    [decimal(worker.lives ? worker.rate_files_per_min || 0 : 0), " files/min"],
    worker.progress_age_seconds === null ? null : [span(worker.progress_age_seconds), " since progress"],
    attempts && [attempts, ""],
  ].filter(Boolean);
  const said = lines.map((line) => line.join("")).join("|");
  if (parts.said !== said) {
    parts.said = said;
    parts.numbers.replaceChildren(...lines.map(([value, unit]) => el("span", {}, el("b", {}, value), unit)));
  }
}

/** `Author_Title (17)_Title - Author.epub` -> `Title - Author.epub`: the folders say the same again. */
function nameOf(file) {
  return file.replace(/^.*\(\d+\)[_/](?=.)/, "");
}

function fillFiles(place, worker) {
  const idle = worker.case || (worker.last_error && !worker.lives ? worker.last_error : worker.lives ? "no file in hand" : "");
  if (!worker.lives || !worker.files.length) {
    if (place.dataset.kind !== "idle") place.replaceChildren(el("span", { class: "aside" }));
    place.dataset.kind = "idle";
    text(place.firstChild, idle || "");
    return;
  }
  if (place.dataset.kind !== "files" || place.children.length !== worker.files.length) {
    place.replaceChildren(...worker.files.map(() => el("div", { class: "file" },
      el("bdi", { class: "name" }), el("span", { class: "sent" }), el("progress", { max: 1 }))));
    place.dataset.kind = "files";
  }
  worker.files.forEach((file, i) => {
    const [name, sent, bar] = place.children[i].children;
    text(name, nameOf(file.file));
    name.title = file.file;
    text(sent, `${bytes(file.bytes_sent)} of ${bytes(file.size)}, ${span(file.seconds)}`);
    bar.value = file.size ? file.bytes_sent / file.size : 0;
    bar.setAttribute("aria-label", `Sent of ${file.file}`);
  });
}
