// What report/html/cases.py and answers.py wrote, under names that people read.

const WORSE = 1, BETTER = 2, FAILING = 4, FORMAT = 8, ERRORS = 16, SLIP = 32;

async function read() {
  const held = get("data");
  if (held.dataset.packing !== "gzip") return JSON.parse(held.textContent);
  const coded = atob(held.textContent), bytes = new Uint8Array(coded.length);
  for (let place = 0; place < coded.length; place++) bytes[place] = coded.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

let data;
try {
  data = await read();
} catch (fault) {
  get("trouble").textContent = "The cases cannot be read in this browser: " + fault;
  get("trouble").hidden = false;
  throw fault;
}

const suites = data.suites, frames = data.frames;
const roles = data.roles.map(([name, model, before]) => ({ name, model, before }));
const isSeveral = roles.length > 1;
const cases = data.cases.map((found) => {
  const suite = suites[found.s], cells = found.r;
  const outcomes = new Set(cells.filter((cell) => cell && cell.o !== "error").map((cell) => cell.o));
  return {
    suite, cells,
    id: found.c,
    name: suite + "/" + found.c,
    digest: found.d,
    title: found.t || "",
    expected: found.x,
    prompts: found.p || [],
    flags: cells.reduce((all, cell) => all | (cell ? cell.f : 0), 0),
    disagrees: outcomes.size > 1,
  };
});

const FILTERS = [
  { name: "all", title: "All", test: () => true, isThere: true },
  { name: "worse", title: "▼ Got worse", test: (one, flags) => flags & WORSE, isThere: data.before !== null },
  { name: "better", title: "▲ Got better", test: (one, flags) => flags & BETTER, isThere: data.before !== null },
  { name: "failing", title: "✗ Failing", test: (one, flags) => flags & FAILING, isThere: true },
  { name: "disagree", title: "≠ Models disagree", test: (one) => one.disagrees, isThere: isSeveral },
  { name: "format", title: "Bad format", test: (one, flags) => flags & FORMAT, isThere: true },
  { name: "errors", title: "! Errors", test: (one, flags) => flags & ERRORS, isThere: true },
].filter((filter) => filter.isThere);

// What the search looks through: ids, what is asked, expected and answered, and why it was graded so.
function haystack(one) {
  if (one.haystack === undefined) {
    const texts = [one.name, one.expected || "", ...one.prompts.map(([, middle]) => middle)];
    for (const cell of one.cells) {
      for (const sample of cell ? cell.n : []) texts.push(sample.a || "", sample.w || "", sample.x || "", sample.e || "");
    }
    one.haystack = texts.join("\n").toLowerCase();
  }
  return one.haystack;
}
