/**
 * The composition root of the Worker: what the platform calls, and nothing else.
 */
import { serve } from "./app.ts";
import type { Env } from "./core/env.ts";
import { doChores } from "./keeping/chores.ts";
import { refreshCatalogue } from "./db/catalogue.ts";
import { consumeEvents } from "./metering/project.ts";

export { AccountObject } from "./account/account-object.ts";
export { RegionObject } from "./nodes/region-object.ts";

export default {
  fetch: serve,
  queue: consumeEvents,
  async scheduled({ scheduledTime }, env) {
    await Promise.all([refreshCatalogue(env, Date.now()), doChores(env, scheduledTime)]);
  },
} satisfies ExportedHandler<Env>;
