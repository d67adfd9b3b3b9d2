import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { parseAllDocuments } from "yaml";

import { problems } from "./schema.js";

const ENVOY = join(import.meta.dirname, "../../envoy");

const FILES = ["istio/gateway.yaml", "istio/sidecar.yaml", "envoy-gateway/cors.yaml"];

function read(file, version = "1.2") {
  const text = readFileSync(join(ENVOY, file), "utf8");
  return parseAllDocuments(text, { strict: true, merge: true, version }).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS();
  });
}

test("every resource is one that its API server takes", async () => {
  const resources = FILES.flatMap((file) => read(file));
  assert.deepEqual(
    resources.map(({ kind }) => kind),
    ["WasmPlugin", "WasmPlugin", "EnvoyExtensionPolicy", "EnvoyProxy", "Gateway"],
  );
  assert.deepEqual(await problems(resources), resources.map(() => []));
});

test("no manifest is left out", () => {
  const found = globSync("{istio,envoy-gateway}/*", { cwd: ENVOY }).sort();
  assert.deepEqual(found, [...FILES, "istio/mesh.yaml"].sort());
});

// What `envoy-cors render` makes; tests/render.rs holds these files to it.
const RENDERED = globSync("../tests/render/*.yaml", { cwd: ENVOY });

test("every rendered resource is one too", async () => {
  // An entry of Envoy's own configuration is no resource.
  const resources = RENDERED.flatMap((file) => read(file)).filter((document) => !Array.isArray(document));
  assert.ok(resources.length > 10, `only ${resources.length}`);
  const kinds = new Set(resources.map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ["EnvoyExtensionPolicy", "EnvoyProxy", "WasmPlugin"]);
  assert.deepEqual(await problems(resources), resources.map(() => []));
});

test("it means the same in YAML 1.1, which Kubernetes reads", () => {
  for (const file of RENDERED) {
    assert.deepEqual(read(file, "1.1"), read(file), file);
  }
});

// Which resource of a manifest, what breaks it, and what is said.
const BROKEN = [
  ["istio/gateway.yaml", 0, ({ spec }) => (spec.pluginConf = {}), `'"pluginConf"' does not exist`],
  ["istio/gateway.yaml", 0, ({ spec }) => (spec.vmConfig.env[0].val = ""), `'"val"' does not exist`],
  ["istio/gateway.yaml", 0, ({ metadata }) => (metadata.namspace = ""), `'"namspace"' does not exist`],
  ["istio/gateway.yaml", 0, ({ spec }) => (spec.phase = "AUTH"), "data/spec/phase must be equal to one of"],
  ["istio/gateway.yaml", 0, ({ spec }) => (spec.failStrategy = "FAIL"), "data/spec/failStrategy must be equal to one of"],
  ["istio/gateway.yaml", 0, ({ spec }) => delete spec.url, "data/spec must have required property url"],
  ["istio/gateway.yaml", 0, ({ spec }) => (spec.sha256 = "sha256:0"), "data/spec/sha256 must match pattern"],
  ["istio/sidecar.yaml", 0, ({ spec }) => (spec.match[0].ports[0].number = 0), "ports/0/number must be >= 1"],
  ["envoy-gateway/cors.yaml", 0, ({ spec }) => (spec.wasm[0].failStrategy = ""), `'"failStrategy"' does not exist`],
  ["envoy-gateway/cors.yaml", 0, ({ spec }) => (spec.wasm[0].env = { A: "" }), `'"A"' does not exist`],
  ["envoy-gateway/cors.yaml", 0, ({ spec }) => (spec.wasm[0].code.type = "OCI"), "code/type must be equal to one of"],
  ["envoy-gateway/cors.yaml", 1, ({ spec }) => (spec.filterOrder[0].before = "jwt"), "before must be equal to one of"],
  ["envoy-gateway/cors.yaml", 2, ({ spec }) => delete spec.infrastructure.parametersRef.kind, "required property kind"],
];

test("what an API server refuses is refused", async () => {
  const broken = BROKEN.map(([file, which, breaks]) => {
    const resource = read(file)[which];
    breaks(resource);
    return resource;
  });
  const said = await problems(broken);
  for (const [i, [file, , breaks, complaint]] of BROKEN.entries()) {
    assert.ok(
      said[i].some((line) => line.includes(complaint)),
      `${file}: ${breaks}\n${said[i].join("\n")}`,
    );
  }
});
