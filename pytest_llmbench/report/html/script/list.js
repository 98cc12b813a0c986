// The list of cases: filters, choices and the open case stand in the address, so that a link can point to them.

const PAGE = 200;
const NO_STATE = { f: "all", s: "", m: "", q: "", c: "", p: "1" };
let state = { ...NO_STATE, ...data.first };

const place = () => roles.findIndex((role) => role.name === state.m);

function readState() {
  const text = location.hash.slice(1);
  if (!text.includes("=")) return false;
  state = { ...NO_STATE };
  for (const [key, value] of new URLSearchParams(text)) if (Object.hasOwn(NO_STATE, key)) state[key] = value;
  if (!FILTERS.some((filter) => filter.name === state.f)) state.f = "all";
  if (!suites.includes(state.s)) state.s = "";
  if (place() < 0) state.m = "";
  return true;
}

function writeState() {
  const kept = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value && !(key === "p" && value === "1")) kept.set(key, value);
  history.replaceState(null, "", "#" + kept);
}

// Go to another state; a new list begins at its first page with no case open.
function change(news, isNewList = true) {
  Object.assign(state, isNewList ? { p: "1", c: "" } : {}, news);
  writeState();
  draw();
}

const flagsOf = (one, at) => (at < 0 ? one.flags : one.cells[at] ? one.cells[at].f : 0);

// How far a case fell under the chosen model, or under any.
function fall(one, at) {
  const falls = one.cells.map((cell, here) => {
    const counts = cell && cell.f & WORSE && (at < 0 || here === at);
    return counts ? (cell.v || 0) - (cell.bv || 0) : 1;
  });
  return Math.min(...falls);
}

// A wrong answer is worse than a right one in another format than was asked for.
const slips = (one, at) => (flagsOf(one, at) & SLIP ? 1 : 0);
const byGravity = (at) => (one, other) => slips(one, at) - slips(other, at) || fall(one, at) - fall(other, at);

function row(one) {
  const isOpen = state.c === one.name;
  const toggle = () => {
    change({ c: isOpen ? "" : one.name }, false);
    focusCase(one.name);
  };
  const look = { type: "button", "aria-expanded": String(isOpen), "aria-controls": isOpen && "open" };
  const button = element("button", { ...look, "data-case": one.name, click: toggle },
    element("b", {}, state.s ? one.id : one.name), element("span", {}, one.title));
  return element("li", {}, element("div", { class: "row" }, button, columns(one.cells.map(chip))), isOpen ? panel(one) : null);
}

function columns(children) {
  const made = element("div", { class: roles.length > 5 ? "chips many" : "chips" }, children);
  made.style.setProperty("--columns", roles.length);
  return made;
}

function heads() {
  const names = columns(roles.map((role, at) => element("span", {}, mark(at), " " + role.name)));
  return element("li", { class: "heads", "aria-hidden": "true" }, element("span", {}, "case"), names);
}

const rowButtons = () => [...document.querySelectorAll("#list button[data-case]")];

function focusCase(name) {
  const found = rowButtons().find((button) => button.dataset.case === name);
  if (found) found.focus();
}

function draw() {
  const at = place(), words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const isAmong = (one) => (!state.s || one.suite === state.s) && words.every((word) => haystack(one).includes(word));
  const among = cases.filter(isAmong);
  for (const filter of FILTERS) {
    filter.button.setAttribute("aria-pressed", String(filter.name === state.f));
    filter.count.textContent = among.filter((one) => filter.test(one, flagsOf(one, at))).length;
  }
  const { test } = FILTERS.find((filter) => filter.name === state.f);
  const found = among.filter((one) => test(one, flagsOf(one, at)));
  if (state.f === "worse") found.sort(byGravity(at));
  drawPage(found);
  get("shown").textContent = found.length + " of " + cases.length + " shown";
  get("suite").value = state.s;
  get("model").value = state.m;
  if (document.activeElement !== get("search")) get("search").value = state.q;
}

function drawPage(found) {
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const open = found.findIndex((one) => one.name === state.c);
  const wanted = open < 0 ? parseInt(state.p, 10) || 1 : Math.floor(open / PAGE) + 1;
  const page = Math.min(pages, Math.max(1, wanted)), from = (page - 1) * PAGE;
  const some = found.slice(from, from + PAGE);
  state.p = String(page);
  const none = some.length ? [] : [element("li", { class: "dim" }, "No case matches.")];
  const head = isSeveral && roles.length <= 5 && some.length ? [heads()] : [];
  get("list").replaceChildren(...head, ...some.map(row), ...none);
  get("pages").hidden = pages === 1;
  get("page").textContent = from + 1 + "–" + (from + some.length) + " of " + found.length;
  get("earlier").disabled = page === 1;
  get("later").disabled = page === pages;
}

function turnPage(by) {
  change({ p: String(parseInt(state.p, 10) + by), c: "" }, false);
  get("cases").scrollIntoView();
}

// -- controls

for (const filter of FILTERS) {
  filter.count = element("span");
  const look = { type: "button", "data-filter": filter.name, click: () => change({ f: filter.name }) };
  filter.button = element("button", look, filter.title + " ", filter.count);
  get("filters").append(filter.button);
}
const options = (any, names) => [["", any], ...names.map((name) => [name, name])]
  .map(([value, text]) => element("option", { value }, text));
get("suite").append(...options("all suites", suites));
get("model").append(...options("any model", roles.map((role) => role.name)));
get("suite").parentElement.hidden = suites.length < 2;
get("model").parentElement.hidden = !isSeveral;
get("suite").addEventListener("change", (event) => change({ s: event.target.value }));
get("model").addEventListener("change", (event) => change({ m: event.target.value }));
get("search").addEventListener("input", (event) => change({ q: event.target.value }));
get("earlier").addEventListener("click", () => turnPage(-1));
get("later").addEventListener("click", () => turnPage(1));

// -- keys

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target === get("search")) event.target.blur();
  if (isTyping) return;
  if (event.key === "/") {
    event.preventDefault();
    get("search").focus();
  }
  const step = { j: 1, k: -1 }[event.key];
  if (step) focusBeside(step);
});

// From the case that has the focus, or anything in it, to the next or the one before.
function focusBeside(step) {
  const buttons = rowButtons();
  const here = buttons.findIndex((button) => button.closest("li").contains(document.activeElement));
  const next = here < 0 ? undefined : buttons[here + step];
  if (next) next.focus();
}

// -- the look

const theme = get("theme");
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
theme.hidden = false;
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
showTheme();
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("main details:not(#list details)")) each.open = true;
});

// -- the beginning

function follow() {
  if (!readState()) return;
  draw();
  get("cases").scrollIntoView();
  const first = rowButtons()[0];
  focusCase(state.c || (first ? first.dataset.case : ""));
}
addEventListener("hashchange", follow);

get("controls").hidden = false;
if (location.hash.includes("=")) follow();
else {
  draw();
  if (state.f === "worse" && rowButtons().length) {  // the worst is open
    state.c = rowButtons()[0].dataset.case;
    draw();
  }
}
document.documentElement.dataset.ready = "yes";
performance.mark("ready");
