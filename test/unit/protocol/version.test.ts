/**
 * N talks to N - 1: two builds agree on the newest version both speak, what a later build adds is ignored, and what
 * version 1 looked like on the day it was decided stays readable. The fixtures are never edited; a new version adds its own.
 */
import { readFileSync, readdirSync } from "node:fs";
import { NEWEST, OLDEST, SPOKEN, VersionRange, negotiate } from "@sluice/protocol/version";
import fc from "fast-check";
import { describe, test } from "vitest";
import type { z } from "zod";
import { schemas } from "./schemas.ts";

const FIXTURES = new URL("fixtures/", import.meta.url);

const range = fc
  .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 3 }))
  .map(([min, more]) => ({ min, max: min + more }));

function schemaOf(file: string): z.ZodType {
  const schema = schemas[file.split(".")[0] ?? ""];
  if (schema === undefined) throw new Error(`${file}: a fixture is named after its schema`);
  return schema;
}

describe("two builds", () => {
  test("agree on the newest version both speak, whoever asks", ({ expect }) => {
    fc.assert(
      fc.property(range, range, (ours, theirs) => {
        const agreed = negotiate(ours, theirs);
        expect(negotiate(theirs, ours)).toBe(agreed);
        const common = [...Array(30).keys()].filter(
          (v) => v >= ours.min && v <= ours.max && v >= theirs.min && v <= theirs.max,
        );
        expect(agreed).toBe(common.at(-1));
      }),
    );
  });

  test("a release apart always agree", ({ expect }) => {
    expect(NEWEST - OLDEST).toBeLessThanOrEqual(1);
    expect(VersionRange.parse(SPOKEN)).toEqual(SPOKEN);
    expect(negotiate(SPOKEN, { min: NEWEST, max: NEWEST + 1 })).toBe(NEWEST);
  });
});

describe("what was recorded", () => {
  for (const file of readdirSync(FIXTURES).filter((name) => name.endsWith(".json"))) {
    const recorded: unknown = JSON.parse(readFileSync(new URL(file, FIXTURES), "utf8"));

    test(`${file} is still read`, ({ expect }) => {
      expect(schemaOf(file).safeParse(recorded)).toMatchObject({ success: true });
    });

    test(`${file} is read with a field of a later version in it`, ({ expect }) => {
      const plain = schemaOf(file).parse(recorded);
      expect(schemaOf(file).parse({ ...(recorded as object), fromTheFuture: { a: [1] } })).toEqual(plain);
    });
  }
});
