// Small helpers. Everything that is shown goes through textContent: text from books can never become markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties, and children that are elements or plain text. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets a text only when it differs, so that selections and screen readers are left in peace. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

const whole = new Intl.NumberFormat("en");
export const count = (n) => whole.format(n);
export const decimal = (n, digits = 1) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(n);

export function bytes(n) {
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (n < 1000) return unit === "bytes" ? `${n} bytes` : `${n.toFixed(1)} ${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(2)} TB`;
}

/** 95 -> "95 s", 5400 -> "1 h 30 min", 200000 -> "2 d 7 h". */
export function span(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const when = (iso) => clock.format(new Date(iso));

/** Says something to everybody, screen readers included, for a while. */
export function say(message, wrong = false) {
  const note = el("p", { class: wrong ? "wrong" : null }, message);
  $("said").append(note);
  setTimeout(() => note.remove(), 8000);
}

export async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error((await answer.text()) || `status ${answer.status}`);
  return answer.json();
}

/** Asks for one thing to be done, after a question where one is given; says what came of it. */
export async function command(body, question, button) {
  if (question && !(await ask(question))) return;
  if (button) button.disabled = true;
  try {
    const token = document.querySelector("meta[name=form-token]").content;
    const answer = await fetch("/api/commands", {
      method: "POST", headers: { "Content-Type": "application/json", "X-Form-Token": token }, body: JSON.stringify(body),
    });
    if (answer.ok) say((await answer.json()).message);
    else say(await answer.text(), true);
  } catch (error) {
    say(`The dashboard does not answer: ${error.message}`, true);
  } finally {
    if (button) setTimeout(() => { button.disabled = false; }, 1500);
  }
}

function ask(question) {
  const dialog = $("ask");
  text($("ask-text"), question);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}
