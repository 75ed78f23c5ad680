// The page of `hyperloader serve`. Whatever comes from a user or the service enters as text only.
import { FORMATS, kept } from "./formats.js";

const COLOURS = 10;
const ALTERNATIVES = 3;
const $ = (id) => document.getElementById(id);

const state = { tasks: [], results: [], least: 0, key: "" };

/** An element with properties, and children that are elements or text. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  const options = body ? { method: "POST", body: JSON.stringify(body), headers } : { headers };
  const reply = await fetch(path, options).catch(() => {
    throw new Error("The service does not answer; is it running?");
  });
  const document = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(document.error.message), { status: reply.status });
  return document;
}

function complain(error) {
  $("problem").textContent = error ? error.message : "";
  if (error && error.status === 401) {
    $("key-form").hidden = false;
    $("key").focus();
  }
}

// ---- tasks ------------------------------------------------------------------------------------

const chosen = () => state.tasks[$("task").selectedIndex];
const colour = (task, label) => `k${Math.max(0, task.labels.indexOf(label)) % COLOURS}`;

async function loadTasks() {
  try {
    state.tasks = (await ask("/v1/tasks")).tasks;
  } catch (error) {
    complain(error);
    return;
  }
  complain(null);
  $("key-form").hidden = true;
  const models = new Set(state.tasks.map((task) => task.model));
  const groups = [...models].map((model) => {
    const options = state.tasks
      .filter((task) => task.model === model)
      .map((task) => make("option", {}, task.task));
    return models.size > 1 ? [make("optgroup", { label: model }, ...options)] : options;
  });
  $("task").replaceChildren(...groups.flat());
  $("tasks").replaceChildren(...state.tasks.map((task, i) => card(task, i, models.size > 1)));
  useExample(chosen());
}

function useExample(task) {
  if (!$("text").value && task.examples.length) $("text").value = task.examples[0];
}

function card(task, number, several) {
  const labels = task.labels.map((label) => make("li", { className: colour(task, label) }, label));
  const count = `${labels.length} label${labels.length === 1 ? "" : "s"}`;
  const list = make("ul", { className: "labels", tabIndex: 0 }, ...labels);
  list.setAttribute("aria-label", `Labels of ${task.task}`);
  const element = make(
    "article",
    { className: "task" },
    make("h3", {}, task.task),
    make("p", { className: "hint" }, several ? `${task.model}, ${count}` : count),
    list,
  );
  for (const example of task.examples) {
    const button = make("button", { type: "button" }, "Try");
    button.setAttribute("aria-label", `Try an example of ${task.task}`);
    button.addEventListener("click", () => {
      $("task").selectedIndex = number;
      $("text").value = example;
      $("text").focus();
      $("ask").scrollIntoView({ block: "start" });
      tag();
    });
    element.append(make("blockquote", {}, make("span", {}, example), button));
  }
  return element;
}

// ---- tagging ----------------------------------------------------------------------------------

let asked = 0;

async function tag() {
  const texts = $("text").value.split("\n").filter((line) => line.trim());
  const task = chosen();
  if (!task || !texts.length) {
    complain(task ? new Error("Type or paste a text first.") : null);
    return;
  }
  const mine = ++asked;
  busy(true);
  try {
    const { results } = await ask("/v1/tag", {
      texts, task: task.task, model: task.model, alternatives: ALTERNATIVES,
    });
    if (mine !== asked) return; // a later question is on its way
    state.results = results.map((result) => ({ ...result, of: task }));
    complain(null);
    $("found").hidden = false;
    show();
  } catch (error) {
    if (mine === asked) complain(error);
  } finally {
    if (mine === asked) busy(false);
  }
}

function busy(yes) {
  $("tag").setAttribute("aria-disabled", yes);
  $("tag").textContent = yes ? "Tagging…" : "Tag";
  $("texts").setAttribute("aria-busy", yes);
}

function show() {
  hideTip();
  $("texts").replaceChildren(...state.results.map(paragraph));
  $("words").replaceChildren(...state.results.flatMap(rows));
  const all = state.results.flatMap((result) => result.spans);
  const shown = all.filter((span) => span.score >= state.least).length;
  const spans = `span${all.length === 1 ? "" : "s"}`;
  $("count").textContent = shown < all.length ? `${shown} of ${all.length} ${spans}` : `${shown} ${spans}`;
}

function paragraph(result) {
  const element = make("p");
  // Offsets count characters; a string of JavaScript counts UTF-16 units.
  const characters = [...result.text];
  let at = 0;
  for (const span of kept(result, state.least)) {
    element.append(characters.slice(at, span.start).join(""), highlighted(result, span));
    at = span.end;
  }
  element.append(characters.slice(at).join(""));
  return element;
}

function highlighted(result, span) {
  const score = make("b", {}, span.score.toFixed(2));
  const element = make(
    "mark",
    { className: colour(result.of, span.label), tabIndex: 0 },
    span.text,
    make("small", {}, span.label, " ", score),
  );
  for (const event of ["mouseenter", "focus"]) {
    element.addEventListener(event, () => showTip(element, result, span));
  }
  element.addEventListener("mouseleave", leaveTip);
  element.addEventListener("blur", hideTip);
  return element;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

function choices(result, word) {
  return result.alternatives[word].map(({ tags, probability }) => {
    const many = tags.length > ALTERNATIVES ? `… (${tags.length})` : "";
    return [tags.slice(0, ALTERNATIVES).join(" | ") + many, percent(probability)];
  });
}

function rows(result) {
  return result.words.map((word, i) =>
    make(
      "tr",
      {},
      Object.assign(make("th", {}, word), { scope: "row" }),
      make("td", {}, ...choices(result, i).map(([tags, share]) =>
        make("span", { className: "choice" }, tags, make("span", {}, share)))),
    ));
}

// ---- the tip with the alternatives of a span: on hover and on focus, gone with Escape -----------

let leaving = 0;

function showTip(element, result, span) {
  hideTip();
  const tip = $("tip");
  tip.replaceChildren(make("strong", {}, `${span.label} ${percent(span.score)}`));
  for (let i = span.word_start; i < span.word_end; i += 1) {
    tip.append(make("div", { className: "word" }, result.words[i]));
    for (const [tags, share] of choices(result, i)) {
      tip.append(make("div", { className: "line" }, make("span", {}, tags), make("span", {}, share)));
    }
  }
  tip.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  const place = element.getClientRects()[0];
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${window.scrollX + Math.max(8, left)}px`;
  tip.style.top = `${window.scrollY + element.getBoundingClientRect().bottom + 6}px`;
}

function hideTip() {
  clearTimeout(leaving);
  $("tip").hidden = true;
  for (const element of document.querySelectorAll("mark[aria-describedby]")) {
    element.removeAttribute("aria-describedby");
  }
}

/** The pointer may move onto the tip. */
function leaveTip() {
  clearTimeout(leaving);
  leaving = setTimeout(hideTip, 250);
}

// ---- copying ----------------------------------------------------------------------------------

async function copy(format) {
  const content = FORMATS[format](state.results, state.least);
  let done = true;
  try {
    await navigator.clipboard.writeText(content);
  } catch { // only where the page comes by https or from this machine
    const area = make("textarea", { value: content });
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const lines = content.split("\n").length;
  $("copied").textContent = done
    ? `Copied ${lines} line${lines === 1 ? "" : "s"} of ${format.toUpperCase()}.`
    : "The browser does not let this page copy.";
}

// ---- what the user does -----------------------------------------------------------------------

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  tag();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) tag();
});
$("task").addEventListener("change", () => {
  const examples = state.tasks.flatMap((task) => task.examples);
  if (examples.includes($("text").value)) $("text").value = "";
  useExample(chosen());
  if (!$("found").hidden) tag();
});
$("least").addEventListener("input", () => {
  state.least = Number($("least").value);
  $("least-value").textContent = state.least.toFixed(2);
  show();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value;
  loadTasks();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button.dataset.copy));
}
$("tip").addEventListener("mouseenter", () => clearTimeout(leaving));
$("tip").addEventListener("mouseleave", leaveTip);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});

loadTasks();
