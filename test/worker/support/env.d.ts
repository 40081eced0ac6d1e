/** The bindings as tests in workerd see them: those of the Worker, and the migrations a setup file applies. */
import type { D1Migration } from "cloudflare:test";
import type { Env as WorkerEnv } from "../../../src/core/env.ts";

declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {
      readonly TEST_MIGRATIONS: D1Migration[];
    }
  }
}
