/** Which keys of an account share their cached answers: those whose answers may come from the same places. */
import { saltId } from "@sluice/protocol/account";
import { expect, test } from "vitest";
import { pinnedSalt } from "../../../src/account/pinned-salt.ts";

test("keys that may go anywhere have the account's salt", () => {
  expect(pinnedSalt("aabbccdd00", null)).toBe("aabbccdd00");
});

test("keys with other regions have other salts, told apart by their ids", () => {
  const pins = [["eu"], ["us"], ["eu", "us"], ["eu-central-1"], ["eu-central-2"], []];
  const salts = pins.map((pin) => pinnedSalt("aabbccdd00", pin));
  expect(new Set([...salts, "aabbccdd00"]).size).toBe(pins.length + 1);
  expect(new Set([...salts, "aabbccdd00"].map(saltId)).size).toBe(pins.length + 1);
});

test("the order of regions says nothing", () => {
  expect(pinnedSalt("aabbccdd00", ["us", "eu"])).toBe(pinnedSalt("aabbccdd00", ["eu", "us"]));
});
