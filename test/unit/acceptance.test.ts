/** The list of what other gateways got wrong names tests that exist, under their own names, and leaves out no failure. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const FAILURES = 20;

type Row = { readonly nr: string; readonly title: string; readonly file: string };

const rows = readFileSync("test/ACCEPTANCE.md", "utf8")
  .split("\n")
  .filter((line) => /^\| (\d+ )?\|/.test(line) && line.includes("`"))
  .map((line): Row => {
    const [, nr = "", , title = "", file = ""] = line.split("|").map((cell) => cell.trim());
    return { nr, title, file: file.replaceAll("`", "") };
  });

test("every failure is there, in order, and each has a test", () => {
  const numbers = rows.flatMap(({ nr }) => (nr === "" ? [] : Number(nr)));
  expect(numbers).toEqual(Array.from({ length: FAILURES }, (_, at) => at + 1));
});

test.each(rows)("$file has: $title", ({ title, file }) => {
  expect(existsSync(file)).toBe(true);
  const lines = readFileSync(file, "utf8").split("\n");
  // In its call, or in the table of cases its call goes through; not in a comment.
  const named = lines.filter((line) => line.includes(`"${title}"`) && !/^\s*(\/\/|\*)/.test(line));
  expect(named).toHaveLength(1);
});
