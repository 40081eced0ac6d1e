/** Weights that could not be loaded: the operator hears the cause and what to do, and not a list of addresses. */
import { test } from "vitest";
import { loadFailure, whyEnded } from "../../../gpu-node/src/engines/llama/load-failure.ts";

const ADDRESSES = "/lib/libc.so.6(+0x9cb84)[0x7f82]";

test("a card that has no kernels is not the file's fault", ({ expect }) => {
  const complaint = "error: CUDA error: no kernel image is available for execution on the device";
  const told = loadFailure("/m/a.gguf", whyEnded("signal SIGABRT", complaint, ADDRESSES));
  expect(told).toContain("no kernel image");
  expect(told).toContain("docs/OPERATIONS.md");
  expect(told).not.toContain("Fetch the file again");
  expect(told).not.toContain(ADDRESSES);
});

test("a file that cannot be read is", ({ expect }) => {
  const told = loadFailure("/m/a.gguf", whyEnded("exit code 1", undefined, "bad magic"));
  expect(told).toBe(
    "/m/a.gguf cannot be loaded: its process ended with exit code 1 (bad magic). Fetch the file again, or name another with --model.",
  );
});
