// The page: listens to the server and shows what it says.
import { refreshCharts, setThresholds, startCharts } from "./charts.js";
import { $, text } from "./dom.js";
import { showEnd } from "./end.js";
import { showFailed, startFailed } from "./failed.js";
import { showHistory, startHistory } from "./history.js";
import { showProgress, showWorkers } from "./progress.js";

let pass = null;

function show(now) {
  connected(now.state === "unreadable" ? `The state directory cannot be read: ${now.error}` : "");
  if (now.state === "unreadable") return;
  setThresholds(now.thresholds);
  showEnd(now);
  showProgress(now);
  showWorkers(now);
  showFailed(now);
  showHistory(now.history_version).catch(() => {});
  const here = now.totals && now.totals.pass_id;
  if (pass !== null && pass !== here) refreshCharts().catch(() => {});
  pass = here;
  document.documentElement.dataset.shown = now.at;
}

function connected(trouble) {
  $("connection").hidden = !trouble;
  text($("connection"), trouble);
}

function listen() {
  const stream = new EventSource("/api/events");
  stream.addEventListener("snapshot", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    connected("The dashboard does not answer; what is shown is old. Trying again.");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

startHistory();
startFailed();
startCharts();
listen();
