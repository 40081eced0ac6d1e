/** The contract of engines, kept by llama.cpp on the bundled model, and what only it has to show. */
import { describeEngineContract } from "../engine-contract.ts";
import { describeWhatCallsAsk } from "../engine-contract-asks.ts";
import { openLlama } from "./weights-under-test.ts";

describeEngineContract("llama", async () => {
  const engine = await openLlama({ slots: 4, contextTokens: 1_024 });
  return {
    engine,
    // Cut off from its answer's end by the ceiling in every test that uses it.
    longQuestion: "Count from 1 to 90.",
    shortQuestion: "What is 2 + 3?",
    deadlyQuestion: "Count from 1 to 90.",
    kill: () => {
      if (engine.pid !== undefined) process.kill(engine.pid, "SIGKILL");
    },
  };
});

describeWhatCallsAsk("llama", () => openLlama({ slots: 2, contextTokens: 1_024 }));
