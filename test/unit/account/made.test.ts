/** A key that a key makes: in no field more than its maker. */
import fc from "fast-check";
import { describe, test } from "vitest";
import type { KnownKey } from "../../../src/account/admission.ts";
import { exceeding, madeUnder } from "../../../src/account/made.ts";
import { keyed, rekeyed } from "../../../src/account/settings.ts";
import type { KeyChange, KeySettings } from "../../../src/core/account.ts";
import { KEY_SCOPES, NO_LIMITS, type Limits } from "../../../src/core/limits.ts";

const BASE = { name: "k", secretSha256: "0".repeat(64) };

const limit = fc.option(fc.integer({ min: 1, max: 5 }));
const names = fc.option(fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 }));
const scopes = fc.uniqueArray(fc.constantFrom(...KEY_SCOPES), { minLength: 1 });
const limits = fc.record(
  Object.fromEntries(Object.keys(NO_LIMITS).map((field) => [field, limit])) as {
    [L in keyof Limits]: typeof limit;
  },
);
/** Every field may be left out. */
const given = fc
  .tuple(
    limits,
    fc.record({ models: names, regions: names, expiresAtMs: limit, scopes }),
    fc.subarray([...Object.keys(NO_LIMITS), "models", "regions", "expiresAtMs", "scopes"]),
  )
  .map(([of, rest, left]) =>
    Object.fromEntries(Object.entries({ ...of, ...rest }).filter(([field]) => !left.includes(field))),
  )
  .map((settings): KeySettings => ({ ...BASE, id: "key_child00000", ...settings }));
const maker = given.map((settings): KnownKey => keyed({ ...settings, id: "key_maker00000" }, undefined));

const within = (value: number | null, max: number | null): boolean =>
  max === null || (value !== null && value <= max);
const among = (values: readonly string[] | null, allowed: readonly string[] | null): boolean =>
  allowed === null || (values !== null && values.every((value) => allowed.includes(value)));

describe("a key made by a key", () => {
  test("never exceeds its maker in any field, whatever is asked for", ({ expect }) => {
    fc.assert(
      fc.property(maker, given, (by, asked) => {
        const made = madeUnder(by, asked);
        if (!made.ok) return;
        const { key } = made;
        for (const field of Object.keys(NO_LIMITS) as (keyof Limits)[])
          expect(within(key.limits[field], by.limits[field])).toBe(true);
        expect(within(key.expiresAtMs, by.expiresAtMs)).toBe(true);
        expect(among(key.models, by.models) && among(key.regions, by.regions)).toBe(true);
        expect(key.scopes.length > 0 && among(key.scopes, by.scopes)).toBe(true);
        expect(key.madeBy).toBe(by.id);
      }),
    );
  });

  test("is changed to no more than its maker has, and only what is given is looked at", ({ expect }) => {
    fc.assert(
      fc.property(maker, given, (by, asked) => {
        const change: KeyChange = asked;
        const made = keyed({ ...BASE, id: "key_child00000" }, undefined);
        const field = exceeding(by, change);
        if (field === null) {
          const changed = rekeyed(made, change);
          for (const limit of Object.keys(NO_LIMITS) as (keyof Limits)[])
            if (change[limit] !== undefined)
              expect(within(changed.limits[limit], by.limits[limit])).toBe(true);
          if (change.expiresAtMs !== undefined)
            expect(within(changed.expiresAtMs, by.expiresAtMs)).toBe(true);
          for (const list of ["models", "regions", "scopes"] as const)
            if (change[list] !== undefined) expect(among(changed[list], by[list])).toBe(true);
        } else expect(change[field]).not.toBeUndefined();
      }),
    );
    expect(
      exceeding(keyed({ ...BASE, id: "key_maker00000", requestsPerDay: 1 }, undefined), { name: "x" }),
    ).toBeNull();
  });

  test("gets what was asked for where its maker has as much", ({ expect }) => {
    const open = keyed({ ...BASE, id: "key_maker00000", scopes: [...KEY_SCOPES] }, undefined);
    fc.assert(
      fc.property(given, (asked) => {
        const made = madeUnder(open, asked);
        expect(made.ok && { ...made.key, madeBy: null }).toEqual(keyed(asked, undefined));
      }),
    );
  });
});
