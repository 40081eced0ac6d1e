/** The price book: windows of the day, prices to come, and what is refused. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { resolveModel } from "../../../src/core/catalogue.ts";
import { readCatalogue } from "../../../src/db/catalogue.ts";
import { priceById } from "../../../src/db/models.ts";
import { ask } from "./support.ts";

const RATES = { inputMicroUsdPerM: 200, cachedMicroUsdPerM: 20, outputMicroUsdPerM: 800 };
const PEAK = { inputMicroUsdPerM: 400, cachedMicroUsdPerM: 40, outputMicroUsdPerM: 1_600 };
const MODEL = { contextTokens: 4_096, outputTokensDefault: 1_024, price: RATES };
const ALL_DAY = { from: "00:00", to: "24:00", ...PEAK };

describe("a price", () => {
  test("with a window is what a request is billed under while the window lasts", async ({ expect }) => {
    await ask("PUT", "/models/windowed", MODEL);
    const posted = await ask("POST", "/prices/windowed", {
      ...RATES,
      zone: "Asia/Tokyo",
      windows: [ALL_DAY],
    });
    expect(posted.status).toBe(201);
    const { id, windows } = posted.body.price;
    expect(windows).toMatchObject([{ id: `${id}.1`, from: "00:00", to: "24:00", days: null, ...PEAK }]);
    const offered = resolveModel(await readCatalogue(env, Date.now()), "windowed");
    expect(offered?.model.price).toMatchObject({ id: `${id}.1`, ...PEAK });
    expect(await priceById(env, `${id}.1`)).toMatchObject(PEAK);
    expect(await priceById(env, id)).toMatchObject(RATES);
  });

  test("stands in the book with those before it and those to come", async ({ expect }) => {
    await ask("PUT", "/models/booked", MODEL);
    const fromMs = Date.now() + 3_600_000;
    const window = { from: "01:00", to: "04:00", days: [5, 1, 1], ...PEAK };
    await ask("POST", "/prices/booked", {
      ...RATES,
      effectiveFromMs: fromMs,
      zone: "UTC",
      windows: [window],
    });
    const { body } = await ask("GET", "/prices/booked");
    expect(body.prices).toMatchObject([
      { effectiveFromMs: fromMs, zone: "UTC", windows: [{ from: "01:00", to: "04:00", days: [1, 5] }] },
      { id: body.inForce, zone: null, windows: [], ...RATES },
    ]);
    expect(body.now).toMatchObject({ id: body.inForce });
    const listed = (await ask("GET", "/models")).body.models.find(
      (one: { id: string }) => one.id === "booked",
    );
    expect(listed.pricesToCome).toMatchObject([{ effectiveFromMs: fromMs, windows: [{ from: "01:00" }] }]);
    expect((await ask("GET", "/prices/nobody")).status).toBe(404);
    expect((await ask("POST", "/prices/nobody", RATES)).status).toBe(404);
  });

  test("given twice is one, windows included", async ({ expect }) => {
    await ask("PUT", "/models/twice", MODEL);
    const price = { ...RATES, zone: "UTC", windows: [ALL_DAY] };
    expect((await ask("POST", "/prices/twice", price)).status).toBe(201);
    expect((await ask("POST", "/prices/twice", price)).status).toBe(200);
    expect((await ask("POST", "/prices/twice", RATES)).status).toBe(201);
    expect((await ask("GET", "/prices/twice")).body.prices).toHaveLength(3);
  });

  const window = { from: "01:00", to: "04:00", ...PEAK };
  const WRONG: readonly (readonly [string, object, string])[] = [
    ["no zone", { windows: [window] }, "zone"],
    ["a zone that is none", { zone: "Mars/Olympus", windows: [window] }, "zone"],
    ["a time that is none", { zone: "UTC", windows: [{ ...window, from: "25:00" }] }, "windows.0.from"],
    ["no length", { zone: "UTC", windows: [{ ...window, to: "01:00" }] }, "windows.0"],
    ["a weekday that is none", { zone: "UTC", windows: [{ ...window, days: [0] }] }, "windows.0.days.0"],
    [
      "an overlap",
      { zone: "UTC", windows: [window, { ...window, from: "03:59", to: "05:00" }] },
      "windows.1",
    ],
    ["no rates", { zone: "UTC", windows: [{ from: "01:00", to: "02:00" }] }, "windows.0.inputMicroUsdPerM"],
  ];
  test.for(WRONG)("whose windows have %s is refused by name", async ([, more, param], { expect }) => {
    await ask("PUT", "/models/wrong-windows", MODEL);
    const { status, body } = await ask("POST", "/prices/wrong-windows", { ...RATES, ...more });
    expect([status, body.error.issues[0].param]).toEqual([400, param]);
  });
});
