/** Rates by the clock on somebody's wall. */
import { describe, test } from "vitest";
import { catalogueAt, priceInForce, type TimedPrice } from "../../../src/db/price-in-force.ts";
import { firstOverlap, isIn, isZone, wallTime, type Window } from "../../../src/db/price-window.ts";

function at(text: string): number {
  return Date.parse(text);
}

function window(zone: string, from: string, to: string, days: string | null = null): Window {
  const minute = (clock: string): number => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
  return { zone, fromMinute: minute(from), toMinute: minute(to), days };
}

describe("a window", () => {
  const CASES: readonly (readonly [string, Window, string, boolean])[] = [
    ["begins on its minute", window("UTC", "01:00", "04:00"), "2026-11-26T01:00:00Z", true],
    ["ends before its minute", window("UTC", "01:00", "04:00"), "2026-11-26T04:00:00Z", false],
    ["goes by its own wall", window("Asia/Shanghai", "09:00", "12:00"), "2026-11-26T01:30:00Z", true],
    ["and not by ours", window("Asia/Shanghai", "09:00", "12:00"), "2026-11-26T09:30:00Z", false],
    ["follows summer time", window("Europe/Berlin", "08:00", "09:00"), "2026-07-01T06:30:00Z", true],
    ["and winter time", window("Europe/Berlin", "08:00", "09:00"), "2026-12-01T07:30:00Z", true],
    ["goes over midnight", window("UTC", "22:00", "02:00"), "2026-11-26T01:59:59Z", true],
    ["lasts a whole day", window("UTC", "00:00", "24:00", "7"), "2026-11-29T23:59:00Z", true],
    ["keeps its weekdays", window("UTC", "00:00", "24:00", "12345"), "2026-11-28T12:00:00Z", false],
    ["of Friday's night is Friday's", window("UTC", "22:00", "02:00", "5"), "2026-11-28T01:00:00Z", true],
    ["of Sunday's night is Sunday's", window("UTC", "22:00", "02:00", "7"), "2026-11-30T01:00:00Z", true],
    [
      "is Monday in Tokyo on our Sunday",
      window("Asia/Tokyo", "00:00", "08:00", "1"),
      "2026-11-29T16:00:00Z",
      true,
    ],
    ["twice where the hour is", window("America/New_York", "01:00", "02:00"), "2026-11-01T05:30:00Z", true],
    ["and again", window("America/New_York", "01:00", "02:00"), "2026-11-01T06:30:00Z", true],
    [
      "never where the hour is skipped",
      window("America/New_York", "02:00", "03:00"),
      "2026-03-08T07:30:00Z",
      false,
    ],
  ];
  test.for(CASES)("%s", ([, one, moment, inside], { expect }) => {
    expect(isIn(one, at(moment))).toBe(inside);
  });

  test("knows its zones", ({ expect }) => {
    expect([isZone("Asia/Shanghai"), isZone("UTC"), isZone("Mars/Olympus"), isZone("")]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(wallTime("Asia/Kathmandu", at("2026-11-26T00:00:00Z"))).toEqual({ day: 4, minute: 345 });
  });

  test("that meets another is found", ({ expect }) => {
    const day = window("UTC", "08:00", "12:00");
    const night = window("UTC", "22:00", "02:00");
    expect(firstOverlap([day, night, window("UTC", "12:00", "22:00"), window("UTC", "02:00", "08:00")])).toBe(
      -1,
    );
    expect(firstOverlap([day, window("UTC", "11:59", "13:00")])).toBe(1);
    expect(firstOverlap([night, window("UTC", "01:00", "01:30")])).toBe(1);
    expect(
      firstOverlap([window("UTC", "08:00", "09:00", "12345"), window("UTC", "08:00", "09:00", "67")]),
    ).toBe(-1);
    expect(firstOverlap([window("UTC", "22:00", "02:00", "7"), window("UTC", "01:00", "03:00", "1")])).toBe(
      1,
    );
  });
});

describe("a price with windows", () => {
  const rates = (rate: number) => ({
    inputMicroUsdPerM: rate,
    cachedMicroUsdPerM: rate,
    outputMicroUsdPerM: rate,
  });
  const peak = window("UTC", "01:00", "04:00", "12345");
  const BOOK: readonly TimedPrice[] = [
    { id: "price_a", effectiveFromMs: 0, ...rates(1), window: null },
    { id: "price_a.1", effectiveFromMs: 0, ...rates(2), window: peak },
    { id: "price_b", effectiveFromMs: at("2026-12-01T00:00:00Z"), ...rates(3), window: null },
  ];
  const CASES = [
    ["has the window's row within it", "2026-11-26T02:00:00Z", "price_a.1"],
    ["has its own outside", "2026-11-26T05:00:00Z", "price_a"],
    ["has its own at the weekend", "2026-11-28T02:00:00Z", "price_a"],
    ["takes its windows with it when the next begins", "2026-12-01T02:00:00Z", "price_b"],
  ] as const;
  test.for(CASES)("%s", ([, moment, id], { expect }) => {
    expect(priceInForce(BOOK, at(moment))?.id).toBe(id);
  });

  test("is looked at again at the window's edge, and at no other second", ({ expect }) => {
    const model = {
      id: "m",
      contextTokens: 8,
      outputTokensDefault: 4,
      ownedBy: "us",
      createdS: 1,
      thinkingDefault: false,
      prices: [...BOOK],
    };
    const snapshot = { builtAtMs: 1, models: [model], aliases: [], regions: [] };
    const before = catalogueAt(snapshot, at("2026-11-26T00:59:59.999Z"));
    expect(before.catalogue.models[0]?.price.id).toBe("price_a");
    expect(before.untilMs).toBe(at("2026-11-26T01:00:00Z"));
    expect(catalogueAt(snapshot, before.untilMs).catalogue.models[0]?.price.id).toBe("price_a.1");
    expect(catalogueAt(snapshot, at("2027-01-01T00:00:00Z")).untilMs).toBe(Infinity);
  });
});
