/** Opens an engine, tells its process id, and waits to be killed: the parent that disappears in a test. */
import { createLlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";

const engine = await createLlamaEngine({
  model: "orphan",
  weightsPath: process.argv[2] ?? "",
  gpu: false,
  slots: 1,
});
process.send?.(engine.pid);
