/**
 * Drizzle over the D1 binding: the one place that says how names in schema.ts become names in the database.
 */
import { drizzle, type DrizzleD1Database } from "drizzle-orm/d1";
import type { Env } from "../core/env.ts";

export type Database = DrizzleD1Database;

export function database(env: Pick<Env, "DB">): Database {
  return drizzle(env.DB, { casing: "snake_case" });
}
