// Elements and texts. What models wrote goes into text nodes alone, never into markup.

const CLIP = 4000, MOST_WORDS = 600, LIKE = 0.5;
const BUTTON = 40;  // what is no longer than the button that shows it is not cut
// as in report/safe_text.py: what could hide, turn text around or control a terminal
const UNSAFE = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u180e\\u200b-\\u200f\\u2028-\\u202e" +
  "\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e0fff}]", "gu");

const get = (id) => document.getElementById(id);

// An element; an attribute that is null or false is left out, `click` is called on a click.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "click") made.addEventListener("click", value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === "") continue;
    made.append(typeof child === "string" ? shown(child) : child);
  }
  return made;
}

function escaped(found) {
  if (found === "\r") return "\\r";
  const code = found.codePointAt(0), hex = code.toString(16);
  if (code < 0x100) return "\\x" + hex.padStart(2, "0");
  return code < 0x10000 ? "\\u" + hex.padStart(4, "0") : "\\U" + hex.padStart(8, "0");
}

// A text as nodes, with what nobody could see written out.
function shown(text) {
  const made = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(UNSAFE)) {
    if (found.index > from) made.append(text.slice(from, found.index));
    const sign = document.createElement("span");
    sign.className = "escape";
    sign.textContent = escaped(found[0]);
    made.append(sign);
    from = found.index + found[0].length;
  }
  if (from < text.length) made.append(text.slice(from));
  return made;
}

// A text in a box, cut at first; marks are [start, end, isForbidden, name], by their start.
function box(text, marks = [], isOld = false) {
  const made = element("div", { class: isOld ? "text old" : "text", dir: "auto" });
  const fill = (limit) => {
    const isCut = text.length > limit + BUTTON;
    const part = isCut ? text.slice(0, limit) : text;
    made.replaceChildren(marked(part, marks));
    if (!text) made.append(element("span", { class: "dim" }, "(empty)"));
    if (isCut) {
      const all = () => { fill(text.length); made.focus(); };
      const words = "show all " + text.length.toLocaleString("en") + " characters";
      made.append("… ", element("button", { type: "button", click: all }, words));
    }
    if (part.length > 800 || part.split("\n").length > 12) made.tabIndex = 0;  // it may scroll
  };
  fill(CLIP);
  return made;
}

function marked(text, marks) {
  const made = document.createDocumentFragment();
  let from = 0;
  for (const [start, end, isForbidden, name] of marks) {
    if (start < from || end > text.length) continue;
    const evidence = element("mark", { title: name, class: isForbidden && "forbidden" }, text.slice(start, end));
    made.append(shown(text.slice(from, start)), evidence);
    from = end;
  }
  made.append(shown(text.slice(from)));
  return made;
}

// Words that stayed, went (del) and came (ins), by their longest common subsequence.
// Null where the texts are long or have little in common: such a difference cannot be read.
function difference(before, now) {
  const [a, b] = [before, now].map((text) => text.match(/\s+|\S+/g) || []);
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return null;
  const sizes = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      sizes[i][j] = a[i] === b[j] ? sizes[i + 1][j + 1] + 1 : Math.max(sizes[i + 1][j], sizes[i][j + 1]);
    }
  }
  if (sizes[0][0] * 2 < LIKE * (a.length + b.length)) return null;
  const parts = [];
  const add = (kind, word) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += word;
    else parts.push([kind, word]);
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("", a[i]); i++; j++; }
    else if (j >= b.length || (i < a.length && sizes[i + 1][j] >= sizes[i][j + 1])) add("del", a[i++]);
    else add("ins", b[j++]);
  }
  return parts;
}

function seconds(value) {
  return value < 0.0995 ? +(value * 1000).toPrecision(3) + "ms" : value.toFixed(value < 9.995 ? 2 : 1) + "s";
}
