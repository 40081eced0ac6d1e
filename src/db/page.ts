/**
 * Pages of a list, newest first. A cursor holds the time and the id of the last row shown, so that rows which come or
 * go between two pages neither repeat nor hide another. It is opaque to clients and checked like anything they send.
 */
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from "@sluice/protocol/bytes";
import { and, desc, eq, lt, or, type SQL } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { z } from "zod";

const Cursor = z.tuple([z.int(), z.string().min(1).max(128)]);
export type Cursor = z.infer<typeof Cursor>;

export type PageAsk = { readonly limit: number; readonly after: Cursor | undefined };

/** Undefined where the text is no cursor of ours. */
export function readCursor(text: string): Cursor | undefined {
  try {
    const bytes = fromBase64Url(text);
    const cursor = Cursor.safeParse(bytes === undefined ? undefined : JSON.parse(fromUtf8(bytes)));
    return cursor.success ? cursor.data : undefined;
  } catch {
    return undefined;
  }
}

function printCursor(cursor: Cursor): string {
  return toBase64Url(utf8(JSON.stringify(cursor)));
}

/** The clause and the order of a page keyed by a time and an id. */
export function pageBy(time: SQLiteColumn, id: SQLiteColumn, after: Cursor | undefined) {
  const where: SQL | undefined =
    after === undefined ? undefined : or(lt(time, after[0]), and(eq(time, after[0]), lt(id, after[1])));
  return { where, order: [desc(time), desc(id)] } as const;
}

export type Page<Row> = { readonly rows: readonly Row[]; readonly next: string | null };

/** Cuts the one row too many that was asked for to learn whether there is a next page. */
export function cutPage<Row>(rows: readonly Row[], limit: number, cursorOf: (row: Row) => Cursor): Page<Row> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const next = rows.length > limit && last !== undefined ? printCursor(cursorOf(last)) : null;
  return { rows: shown, next };
}
