/** The help names every option there is, and none that is not. */
import { expect, test } from "vitest";
import { FLAGS } from "../../../gpu-node/src/config.ts";
import { USAGE } from "../../../gpu-node/src/usage.ts";

/** Of `gpu-node reload`, which asks a running node. */
const RELOAD_ONLY = ["json"];

test("every option of a node is in its help, and the help promises no other", () => {
  const named = new Set([...USAGE.matchAll(/--([a-z][a-z-]*)/g)].map((match) => match[1]));
  expect([...named].sort()).toEqual([...Object.keys(FLAGS), ...RELOAD_ONLY].sort());
});
