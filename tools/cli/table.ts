/** Aligned tables for people. Pure. Numbers stand to the right; what could move a terminal's cursor is not printed. */

export type Cell = string | number | null | undefined;

/** Anything a terminal might obey: names come from people and, in the case of a node's models, from machines. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g;

export function plain(cell: Cell): string {
  return String(cell ?? "-").replace(CONTROL, "?");
}

export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = [head, ...rows].map((row) => head.map((_, i) => plain(row[i])));
  const widths = head.map((_, i) => Math.max(...texts.map((row) => row[i]?.length ?? 0)));
  const isNumber = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
  return texts
    .map((row) =>
      row
        .map((text, i) => (isNumber[i] ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** One thing, a line per field. */
export function sheet(fields: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${plain(value)}`).join("\n");
}
