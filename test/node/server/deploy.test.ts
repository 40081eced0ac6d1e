/** What gpu-node/deploy tells a node is what a node understands. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../gpu-node/src/config.ts";

const DEPLOY = fileURLToPath(new URL("../../../gpu-node/deploy/", import.meta.url));
const read = (name: string): string => readFileSync(`${DEPLOY}${name}`, "utf8");
const EDGE = { SLUICE_EDGE: "https://edge.test", SLUICE_UPSTREAM_KEY: "k" };

describe("the deployment files", () => {
  for (const name of readdirSync(DEPLOY).filter((file) => file.startsWith("compose."))) {
    test(`${name} starts a node that knows its options`, () => {
      const args = /command:\s*\[\s*(--(?:engine|model)[^\]]*)\]/.exec(read(name))?.[1] ?? "";
      const argv = args
        .split(/,\s*(?=[-"\w])/)
        .map((word) => word.replaceAll(/["\s,]+$|^"/g, "").replaceAll(/\$\{\w+(?::[-?][^}]*)?\}/g, "a.gguf"))
        .filter((word) => word !== "");
      const embedded = name.includes("embedded");
      const env = embedded ? { SLUICE_EDGE: EDGE.SLUICE_EDGE } : EDGE;
      expect(parseConfig(argv, env)).toMatchObject({
        ok: true,
        config: { models: [{ kind: embedded ? "llama" : "http" }], edge: { joinToken: undefined } },
      });
    });
  }

  test("the environment file of the systemd units is understood", () => {
    const lines = read("README.md").matchAll(/^(SLUICE_\w+)=(\S+)/gm);
    const env = Object.fromEntries(
      [...lines].map(([, name = "", value = ""]) => [name, value.replace(/^<.*/, "x".repeat(20))]),
    );
    expect(Object.keys(env).length).toBeGreaterThan(6);
    expect(parseConfig([], env)).toMatchObject({
      ok: true,
      config: { models: [{ kind: "http", upstream: { server: "vllm" } }] },
    });
  });
});
