/**
 * docs/PROTOCOL.md shows every message with an example, and names every field and every word of a closed list. Each example
 * is parsed here, and the schemas are walked, so the page cannot go stale.
 */
import { readFileSync } from "node:fs";
import { describe, test } from "vitest";
import { z } from "zod";
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

  test.for(Object.entries(schemas))("names every field and every word of %s", ([, schema], { expect }) => {
    const words = new Set(page.match(/[\w.-]+/g));
    expect(
      [...namesIn(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }))].filter(
        (name) => !words.has(name),
      ),
    ).toEqual([]);
  });
});

/** The properties, and the strings that a value has to be one of, anywhere in a JSON schema. */
function namesIn(schema: unknown, names = new Set<string>()): Set<string> {
  if (typeof schema !== "object" || schema === null) return names;
  for (const [word, value] of Object.entries(schema)) {
    if (word === "properties") for (const name of Object.keys(value as object)) names.add(name);
    if (word === "const" && typeof value === "string") names.add(value);
    if (word === "enum") for (const name of value as unknown[]) if (typeof name === "string") names.add(name);
    namesIn(value, names);
  }
  return names;
}
