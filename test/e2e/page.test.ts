/** The page at /, in a real browser: a person with a key gets an answer, sees what it took, and can stop one. */
import { existsSync } from "node:fs";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";

const CHROMIUM = "/usr/bin/chromium";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) throw new Error(`the browser test needs ${CHROMIUM}: apt-get install chromium`);
  platform = await temporaryPlatform();
  browser = await chromium.launch({ executablePath: CHROMIUM });
  page = await browser.newPage({ viewport: { width: 980, height: 860 } });
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(platform.baseUrl)) complaints.push(`asks elsewhere: ${request.url()}`);
  });
});
afterAll(async () => {
  await browser?.close();
  await platform?.[Symbol.asyncDispose]();
});

async function open(): Promise<void> {
  await page.goto(platform.pages.try);
  await page.getByLabel("API key").fill(platform.apiKey);
  await page.locator("#model:not([disabled])").waitFor();
}

describe("the page", () => {
  test("streams an answer and says what it took", async ({ expect }) => {
    await open();
    await page.getByLabel("Model").selectOption("deepseek-chat");
    await page.getByLabel("Prompt").fill("Hello!");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator("#out").filter({ hasText: /\d/ }).waitFor();
    expect(await page.locator("#text").innerText()).not.toBe("");
    expect(await page.locator("#first").innerText()).toMatch(/ms|s/);
    expect(await page.locator("#cost").innerText()).toMatch(/^\$0\.0/);
    expect(await page.locator("#node").innerText()).toMatch(/^node_/);
    expect(await page.locator("#error").isHidden()).toBe(true);
    expect(complaints).toEqual([]);
  });

  test("keeps the key in this tab and nowhere else", async ({ expect }) => {
    await open();
    expect(await page.evaluate("JSON.stringify([{ ...localStorage }, document.cookie])")).toBe('[{},""]');
    expect(await page.evaluate("sessionStorage.getItem('sluice-key')")).toBe(platform.apiKey);
  });

  test("shows the API's own words when a key is wrong", async ({ expect }) => {
    await page.goto(platform.pages.try);
    await page.getByLabel("API key").fill("sk-sluice-nonsense");
    await page.getByRole("alert").filter({ hasText: /key/i }).waitFor();
    expect(await page.getByLabel("Model").isDisabled()).toBe(true);
  });
});
