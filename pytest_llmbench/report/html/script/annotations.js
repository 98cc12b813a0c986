// A reader's annotations of answers, kept in the tab until they are saved as lines that results/annotations.py reads.

const annotations = new Map();
let isSaved = true;

function annotating(one, at, index, sample) {
  const key = [one.name, at, index].join("\n"), role = roles[at].name;
  const given = () => annotations.get(key);
  const note = element("input", { "aria-label": "note on the answer of " + role, placeholder: "note" });
  const buttons = ["pass", "part", "fail"].map((word) => element("button", { type: "button", click: () => {
    if (given() && given().verdict === word) annotations.delete(key);
    else annotations.set(key, { one, answer: sample.a, verdict: word, note: note.value, at: new Date().toISOString() });
    press();
    showCount();
  } }, word));
  const press = () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(Boolean(given()) && given().verdict === button.textContent));
    }
    note.hidden = !given();
  };
  note.value = given() ? given().note : "";
  note.addEventListener("input", () => {
    given().note = note.value;
    showCount();
  });
  press();
  const label = "your annotation of the answer of " + role;
  return element("div", { class: "annotate", role: "group", "aria-label": label }, "your annotation", buttons, note);
}

function showCount() {
  isSaved = annotations.size === 0;
  get("annotations").hidden = annotations.size === 0;
  get("given").textContent = annotations.size + (annotations.size === 1 ? " annotation" : " annotations") + ", kept in this tab until saved";
}

// Not drawn at random, and not blind: `llmbench agreement` counts such annotations only where there are no others.
function annotationLine({ one, answer, verdict, note, at }, by) {
  const line = {
    key: sha256(one.digest + "\n" + answer), case: one.id, suite: one.suite,
    answer_sha256: sha256(answer), answer, verdict, by, at, note, drawn: "chosen",
  };
  return JSON.stringify(line) + "\n";
}

function save() {
  const by = get("by").value.trim();
  if (!by) {
    get("saving").textContent = "Enter your name first: each annotation carries one.";
    get("by").focus();
    return;
  }
  const lines = [...annotations.values()].map((given) => annotationLine(given, by));
  const address = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  element("a", { href: address, download: "verdicts.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  isSaved = true;
  get("saving").textContent = "Saved " + lines.length + ". Append the file to the verdicts.jsonl of the project.";
}

get("save").addEventListener("click", save);
addEventListener("beforeunload", (event) => { if (!isSaved) event.preventDefault(); });

// UTF-8, half characters as Python's surrogatepass writes them.
function utf8(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0), tail = (shift) => 0x80 | ((code >> shift) & 63);
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), tail(0));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), tail(6), tail(0));
    else bytes.push(0xf0 | (code >> 18), tail(12), tail(6), tail(0));
  }
  return bytes;
}

// SHA-256 (FIPS 180-4). The browser's own is missing where a page comes over plain HTTP.
function sha256(text) {
  const bytes = utf8(text), bits = bytes.length * 8;
  bytes.push(0x80);
  while (bytes.length % 64 !== 56) bytes.push(0);
  for (let shift = 7; shift >= 0; shift--) bytes.push(Math.floor(bits / 2 ** (8 * shift)) & 255);
  const primes = [];
  for (let number = 2; primes.length < 64; number++) if (primes.every((prime) => number % prime)) primes.push(number);
  const hash = primes.slice(0, 8).map((prime) => (Math.sqrt(prime) * 2 ** 32) | 0);
  const k = primes.map((prime) => (Math.cbrt(prime) * 2 ** 32) | 0);
  const turn = (value, by) => (value >>> by) | (value << (32 - by));
  const w = new Int32Array(64);
  for (let from = 0; from < bytes.length; from += 64) {
    for (let i = 0; i < 16; i++) {
      w[i] = [0, 1, 2, 3].reduce((word, place) => (word << 8) | bytes[from + 4 * i + place], 0);
    }
    for (let i = 16; i < 64; i++) {
      const low = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const high = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { hash[i] = (hash[i] + value) | 0; });
  }
  return hash.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
}
