/** docs/PROTOCOL.md shows every message with an example; each of them is parsed here, so the page cannot go stale. */
import { readFileSync } from "node:fs";
import { describe, test } from "vitest";
import { schemas } from "./schemas.ts";

const page = readFileSync("docs/PROTOCOL.md", "utf8");
const examples = [...page.matchAll(/^```json (\w+)\n([^]*?)^```$/gm)].map(([, name = "", text = ""]) => ({
  name,
  text,
}));

describe("docs/PROTOCOL.md", () => {
  test("has an example of every message", ({ expect }) => {
    const shown = new Set(examples.map((example) => example.name));
    expect(Object.keys(schemas).filter((name) => !shown.has(name))).toEqual([]);
  });

  test("names a schema over every example", ({ expect }) => {
    const fences = [...page.matchAll(/^```json *(\w*)$/gm)].map((match) => match[1]);
    expect(fences.filter((name) => name === undefined || !(name in schemas))).toEqual([]);
  });

  test.for(examples)("its $name is one", ({ name, text }, { expect }) => {
    const example: unknown = JSON.parse(text);
    const parsed = schemas[name]?.safeParse(example);
    expect(parsed?.error?.issues).toBeUndefined();
    // Nothing in an example is a field the schema does not know: a misspelt optional field would pass unseen.
    expect(parsed?.data).toEqual(example);
  });
});
