/** Brings D1 to the newest schema before each test file; storage is fresh per file, and applying twice is harmless. */
import { applyD1Migrations } from "cloudflare:test";
import { env } from "cloudflare:workers";

await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
