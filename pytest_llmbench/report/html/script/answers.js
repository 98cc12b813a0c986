// One case whole: what was asked and expected, and what each model answered, now and before.

const SIGNS = { passed: "✓", failed: "✗", error: "!" };
const FORBIDDEN = 1, CHECK = 2;
const TONES = { passed: "good", failed: "bad", error: "warn" };
const isNarrow = () => matchMedia("(max-width: 760px)").matches;

const mark = (at) => document.querySelectorAll("#scores thead .mark")[at].cloneNode(true);
const dim = (...children) => element("p", { class: "dim" }, ...children);
const isPart = (score) => score !== undefined && score > 0 && score < 1;

function outcomeText(cell) {
  const right = cell.n.filter((sample) => sample.o === "passed").length;
  if (cell.o !== "error" && cell.n.length > 1) return cell.o + " " + right + "/" + cell.n.length;
  return isPart(cell.v) ? cell.o + " " + cell.v.toFixed(2) : cell.o;
}

function chip(cell, at) {
  const who = isSeveral ? element("span", { class: "sr" }, roles[at].name + ": ") : null;
  const look = { "data-who": isSeveral && roles[at].name };
  const chosen = isSeveral && at === place() ? " chosen" : "";
  if (!cell) return element("span", { class: "chip none" + chosen, ...look }, who, "– not asked");
  const [sign, words] = cell.f & WORSE ? [" ▼", " got worse"] : cell.f & BETTER ? [" ▲", " got better"] : ["", ""];
  const spoken = words ? element("span", { class: "sr" }, words) : null;
  const text = SIGNS[cell.o] + " " + outcomeText(cell) + sign;
  return element("span", { class: "chip " + TONES[cell.o] + chosen, ...look }, who, text, spoken);
}

const spans = (sample) => (sample.g || [])
  .filter(([, isHit, , start]) => isHit && start >= 0)
  .map(([name, , isForbidden, start, end]) => [start, end, isForbidden, name])
  .sort((one, other) => one[0] - other[0]);

function point([name, isHit, kind], isMeant) {
  const words = kind === FORBIDDEN ? "✗ claims " : isHit ? "✓ " : kind === CHECK ? "✗ " : "✗ misses ";
  const tone = isHit && kind !== FORBIDDEN ? "good" : isMeant ? "none" : "bad";
  return element("li", { class: "chip " + tone }, words + name);
}

// What stands within a combination of checks is a list below it; where that passed, nothing in it is bad.
function listed(found, depth, isMeant) {
  const lines = [];
  for (let at = 0; at < found.length; ) {
    const one = found[at], start = ++at;
    lines.push(point(one, isMeant));
    while (at < found.length && (found[at][5] || 0) > depth) at++;
    if (at > start) {
      const inner = listed(found.slice(start, at), depth + 1, isMeant || one[1]);
      lines.push(element("li", { class: "within" }, inner));
    }
  }
  return element("ul", { class: "points" }, lines);
}

function points(sample) {
  const found = (sample.g || []).filter(([, isHit, kind]) => isHit || kind !== FORBIDDEN);
  return found.length ? listed(found, 0, false) : null;
}

function table(rows, caption, columns) {
  const head = (name) => element("th", { scope: "col" }, name);
  const line = (row) => element("tr", {}, row.map((value) => element("td", {}, value || " ")));
  return element("table", { class: "rows" }, element("caption", {}, caption),
    columns ? element("thead", {}, element("tr", {}, columns.map(head))) : null, element("tbody", {}, rows.map(line)));
}

// The rows by which an SQL answer differs, and what was run for it where that is another text.
function reading(read) {
  if (!read) return [];
  const [wanted, given] = read.columns || [];
  const rows = [
    read.missing && table(read.missing, "the reference has", wanted),
    read.unexpected && table(read.unexpected, "the answer has", given),
  ].filter(Boolean);
  const ran = read.s && element("details", {}, element("summary", {}, "the SQL that ran"), box(read.s));
  return [rows.length ? element("div", { class: "beside" }, rows) : null, ran || null];
}

function facts(sample) {
  const found = [];
  if (sample.q && sample.q.d) found.push("read as " + sample.q.d);
  if (sample.q && sample.q.i) found.push("instance " + sample.q.i);
  if (sample.l !== undefined) found.push(seconds(sample.l) + (sample.c ? " with " + sample.c + " at a time" : ""));
  if (sample.t !== undefined) found.push("first token " + seconds(sample.t));
  if (sample.f !== undefined) found.push("first token of the answer " + seconds(sample.f));
  if (sample.n !== undefined) found.push(sample.n + (sample.n === 1 ? " token" : " tokens"));
  if (sample.z) found.push(sample.z === "length" ? "cut off at max_tokens" : "ended by " + sample.z);
  if (sample.k) found.push("bad format");
  if (sample.u) found.push("reused answer");
  if (sample.r) found.push(sample.r + " attempts");
  return found.length ? dim(found.join(" · ")) : null;
}

// The answer, beside the one before: as one text where they are alike, else below each other.
function texts(sample, old) {
  if (sample.a === undefined) return [];
  const marks = spans(sample);
  if (!old || old.a === undefined) return [box(sample.a, marks)];
  if (old.a === sample.a) return [box(sample.a, marks), dim("the same text as before")];
  const parts = marks.length || spans(old).length ? null : difference(old.a, sample.a);
  if (parts === null) return [dim("before"), box(old.a, spans(old), true), dim("now"), box(sample.a, marks)];
  const made = element("div", { class: "text", dir: "auto", tabindex: 0 });
  made.append(...parts.map(([kind, words]) => (kind ? element(kind, {}, words) : shown(words))));
  return [made, dim("struck out: before; underlined: now")];
}

function sampleOf(one, cell, at, index) {
  const sample = cell.n[index], old = cell.b ? cell.b[index] : undefined;
  const number = "sample " + (index + 1) + " of " + cell.n.length;
  const head = element("span", { class: "chip " + TONES[sample.o] }, SIGNS[sample.o] + " " + number);
  const was = old && old.o !== "passed" && (old.x || old.e) !== (sample.x || sample.e);
  return element("div", { class: "sample" },
    cell.n.length > 1 ? element("p", {}, head) : null,
    element("p", { class: "reason" }, element("strong", {}, sample.w || sample.o), sample.x ? " " + sample.x : ""),
    was ? dim("before: " + (old.w || old.o) + ". " + (old.x || old.e || "")) : null,
    sample.y ? element("details", {}, element("summary", {}, "the reasoning"), box(sample.y)) : null,
    sample.h && !sample.a ? null : texts(sample, old),
    sample.h ? [dim("calls"), box(sample.h)] : null,
    old && old.h && old.h !== sample.h ? [dim("calls before"), box(old.h, [], true)] : null,
    points(sample),
    reading(sample.q),
    sample.e ? box(sample.e) : null,
    sample.m ? dim(sample.m.map(([name, value]) => name.replaceAll("_", " ") + ": " + value).join(" · ")) : null,
    facts(sample),
    sample.a !== undefined && sample.o !== "error" ? annotating(one, at, index, sample) : null);
}

function answerOf(one, at) {
  const cell = one.cells[at], role = roles[at];
  const isSame = cell.bo === cell.o && cell.bv === cell.v;
  const score = isPart(cell.bv) ? " " + cell.bv.toFixed(2) : "";
  const was = cell.bo === undefined ? null : isSame ? "as before" : "was " + cell.bo + score;
  const title = element("span", {}, mark(at), "\u00a0" + role.name, role.model ? element("small", {}, role.model) : null);
  const outcome = element("span", { class: "chip " + TONES[cell.o] }, SIGNS[cell.o] + " " + outcomeText(cell));
  const chosen = isSeveral && at === place() ? " chosen" : "";
  return element("article", { class: "answer" + chosen, "aria-label": role.name },
    element("h3", {}, title, element("span", {}, outcome, was ? element("small", {}, was) : null)),
    role.before ? dim("before: " + role.before) : null,
    cell.bp ? element("p", { class: "warn" }, "◐ the prompt was different before") : null,
    cell.n.map((sample, index) => sampleOf(one, cell, at, index)));
}

function promptOf(one, number) {
  const [frame, middle] = one.prompts[number], [start, end] = frames[frame];
  const users = roles.filter((role, at) => one.cells[at] && one.cells[at].p === number).map((role) => role.name);
  const text = element("div", { class: "text", tabindex: 0 });
  text.append(element("span", { class: "shared" }, start), shown(middle), element("span", { class: "shared" }, end));
  const words = one.prompts.length > 1 ? "prompt of " + users.join(", ") : "prompt";
  return element("details", { open: !one.title }, element("summary", { class: "dim" }, words), text);
}

function panel(one) {
  const order = roles.map((role, at) => at).filter((at) => one.cells[at]);
  const chosen = order.indexOf(place());
  if (isNarrow() && chosen > 0) order.unshift(...order.splice(chosen, 1));
  return element("div", { class: "open", id: "open" },
    element("div", { class: "asked" },
      one.expected ? element("div", {}, dim("expected"), box(one.expected)) : null,
      one.prompts.map((prompt, number) => promptOf(one, number))),
    element("div", { class: "answers" }, order.map((at) => answerOf(one, at))));
}
