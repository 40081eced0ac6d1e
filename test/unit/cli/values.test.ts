/** What people type, as what the admin API takes; and tables for people. */
import { describe, test } from "vitest";
import { sheet, table } from "../../../tools/cli/table.ts";
import {
  durationS,
  limit,
  list,
  microUsd,
  momentMs,
  printMicroUsd,
  whole,
} from "../../../tools/cli/values.ts";

describe("a price in dollars", () => {
  const GOOD = [
    ["0.27", 270_000],
    ["0.29", 290_000],
    ["1.1", 1_100_000],
    ["15", 15_000_000],
    ["0", 0],
    ["0.000001", 1],
  ] as const;
  test.for(GOOD)("of %s is exactly %i micro-dollars, and reads back", ([text, micro], { expect }) => {
    expect(microUsd(text, "--input")).toBe(micro);
    expect(microUsd(printMicroUsd(micro), "--input")).toBe(micro);
  });

  test.for(["", "-1", "1e3", "0.0000001", ".5", "1,5", "$1"])("of %j is refused", (text, { expect }) => {
    expect(() => microUsd(text, "--input")).toThrow("--input");
  });
});

describe("other values", () => {
  test("lengths of time have a unit", ({ expect }) => {
    expect(["90s", "5m", "12h", "30d"].map((text) => durationS(text, "--grace"))).toEqual([
      90, 300, 43_200, 2_592_000,
    ]);
    for (const text of ["5", "m", "1w", "-1h"]) expect(() => durationS(text, "--grace")).toThrow("--grace");
  });

  test("dates are of UTC where they name no zone", ({ expect }) => {
    expect(momentMs("2027-01-31", "--from")).toBe(Date.UTC(2027, 0, 31));
    expect(momentMs("2027-01-31T12:30", "--from")).toBe(Date.UTC(2027, 0, 31, 12, 30));
    expect(momentMs("2027-01-31T12:30+02:00", "--from")).toBe(Date.UTC(2027, 0, 31, 10, 30));
    for (const text of ["tomorrow", "31.1.2027", "2027-13-01", "2027-02-30", "2027-04-31T10:00Z"])
      expect(() => momentMs(text, "--from")).toThrow("--from");
  });

  test("limits are whole numbers or none, lists have commas", ({ expect }) => {
    expect([limit("none", "--rpm"), limit("60", "--rpm"), whole("0", "--n")]).toEqual([null, 60, 0]);
    expect(() => limit("-1", "--rpm")).toThrow("--rpm");
    expect([list("any", "any"), list("a, b", "any")]).toEqual([null, ["a", "b"]]);
  });
});

describe("a table", () => {
  test("is aligned, numbers to the right, with a dash for nothing", ({ expect }) => {
    const text = table(
      ["NAME", "N", "NOTE"],
      [
        ["a", 5, null],
        ["longer", 123, "x"],
      ],
    );
    expect(text.split("\n")).toEqual(["NAME      N  NOTE", "a         5  -", "longer  123  x"]);
    expect(table(["NAME", "N"], [])).toBe("NAME  N");
  });

  test("lets nobody's name move the cursor of a terminal", ({ expect }) => {
    expect(table(["M"], [["\u001b[2Jevil\r\n\u202e"]])).toBe("M\n?[2Jevil???");
    expect(sheet([["name", "a\u0007b"]])).toBe("name  a?b");
  });
});
