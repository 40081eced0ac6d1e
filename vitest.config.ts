/**
 * Four suites, each in the runtime whose behaviour it is about:
 *   unit    test/unit    plain Node: pure functions, the protocol, the house's own rules
 *   worker  test/worker  inside workerd, with the bindings of wrangler.toml and every migration applied
 *   node    test/node    plain Node: the gpu-node, its engines included
 *   e2e     test/e2e     the whole platform, started as `npm start` starts it; one file after another
 * The groups run one after another: two cores are few, and an engine beside workerd makes every timing a guess.
 */
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { workerEntry } from "./test/support/worker-entry.ts";

/** A unit test that takes longer than this waits for something that will not come. */
const UNIT_TIMEOUT_MS = 10_000;
/** A real engine loads weights; on two busy cores that takes a while. */
const NODE_TIMEOUT_MS = 60_000;
const E2E_TIMEOUT_MS = 120_000;

/** Secrets of tests alone, as the deployment's format wants them: 32 bytes of base64url. */
const TEST_BINDINGS = {
  SLUICE_SECRETS: JSON.stringify({
    current: "t1",
    keys: { t1: "c2x1aWNlLXRlc3Qtc2VjcmV0LXNsdWljZS10ZXN0LXM" },
  }),
  SLUICE_ADMIN_TOKEN: "test-admin-token-0123456789",
  SLUICE_DEV: "1",
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: UNIT_TIMEOUT_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        plugins: [
          cloudflareTest(async () => ({
            main: await workerEntry(),
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              // No look-up of a description of this machine's network: tests run offline.
              cf: false,
              bindings: { ...TEST_BINDINGS, TEST_MIGRATIONS: await readD1Migrations("migrations") },
            },
          })),
        ],
        test: {
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          setupFiles: ["test/worker/support/apply-migrations.ts"],
          testTimeout: NODE_TIMEOUT_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "node",
          include: ["test/node/**/*.test.ts"],
          testTimeout: NODE_TIMEOUT_MS,
          hookTimeout: NODE_TIMEOUT_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: E2E_TIMEOUT_MS,
          hookTimeout: E2E_TIMEOUT_MS,
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
