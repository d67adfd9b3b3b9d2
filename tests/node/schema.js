// What a resource may hold, as published: `@kubernetes-models` compiles Istio's custom resource definitions and the Go types
// that those of Envoy Gateway are generated from into validators and TypeScript declarations. Rules in CEL are not in there.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PACKAGES = {
  "extensions.istio.io": "@kubernetes-models/istio",
  "gateway.envoyproxy.io": "@kubernetes-models/envoy-gateway",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
};

const module = ({ apiVersion, kind }) => `${PACKAGES[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`;

/** Values that are not allowed, and fields that are missing: what the validators know. */
async function invalid(resource) {
  const Resource = (await import(module(resource)))[resource.kind];
  try {
    new Resource(resource).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

/**
 * Fields that do not exist, for each resource. Validators let them pass, as these definitions do; an API server refuses
 * them, and so does a type checker in an object that is written out.
 */
function untyped(resources) {
  const folder = mkdtempSync(join(tmpdir(), "manifests-"));
  try {
    symlinkSync(join(import.meta.dirname, "node_modules"), join(folder, "node_modules"));
    // One line each, by which the checker's complaints are told apart.
    const lines = resources.map(
      (resource, i) =>
        `import type { I${resource.kind} as T${i} } from "${module(resource)}"; export const r${i}: T${i} = ${JSON.stringify(resource)};`,
    );
    writeFileSync(join(folder, "resources.ts"), lines.join("\n"));
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { noEmit: true, strict: true, module: "nodenext", types: [] } }),
    );
    const complaints = check(folder);
    return resources.map((_, i) => complaints.filter((line) => line.startsWith(`resources.ts(${i + 1},`)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function check(folder) {
  try {
    execFileSync(join(import.meta.dirname, "node_modules/.bin/tsc"), ["--project", folder, "--pretty", "false"], {
      cwd: folder,
      encoding: "utf8",
    });
    return [];
  } catch ({ stdout, message }) {
    const lines = (stdout ?? "").split("\n").filter((line) => line !== "");
    if (!lines.some((line) => line.startsWith("resources.ts("))) {
      throw new Error(`the type checker failed: ${message}\n${stdout}`);
    }
    return lines;
  }
}

/** All that is wrong with each resource; an empty list is a resource that an API server takes. */
export async function problems(resources) {
  const types = untyped(resources);
  return Promise.all(resources.map(async (resource, i) => [...types[i], ...(await invalid(resource))]));
}
