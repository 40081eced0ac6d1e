/** Which attempts never began: the proof that lets a lapsed hold close at nothing. */
import { CALL_VALID_MS } from "@sluice/protocol/limits";
import { describe, test } from "vitest";
import { isStrikable, struckOut, type Promises } from "../../../src/account/strike.ts";
import {
  admitted,
  after,
  call,
  CLOCKS,
  NODE,
  OTHER_NODE,
  receipt,
  REGION,
  renewal,
  T0,
  word,
} from "./support.ts";

const LAPSED_MS = T0 + CLOCKS.holdLapseMs;
const FIRST_VALID_MS = T0 + CLOCKS.issueWithinMs + CALL_VALID_MS;

function promises(...nodes: readonly (readonly [string, number])[]): ReadonlyMap<string, Promises> {
  return new Map([[REGION, nodes.map(([node, throughMs]) => ({ node, throughMs }))]]);
}

describe("an attempt that never began", () => {
  test("is struck out once every node has named all it took", ({ expect }) => {
    const all = promises([NODE, FIRST_VALID_MS], [OTHER_NODE, FIRST_VALID_MS]);
    expect([...struckOut(admitted(), all)]).toEqual([0]);
  });

  test("is not while one node lags behind, or one region is silent", ({ expect }) => {
    const lagging = promises([NODE, FIRST_VALID_MS], [OTHER_NODE, FIRST_VALID_MS - 1]);
    expect(struckOut(admitted(), lagging).size).toBe(0);
    const silent = new Map([...promises([NODE, FIRST_VALID_MS]), ["us-1", undefined] as const]);
    expect(struckOut(admitted(), silent).size).toBe(0);
  });

  test("is asked of the regions it was allowed, and of no other", ({ expect }) => {
    const all = new Map([...promises([NODE, FIRST_VALID_MS]), ["us-1", undefined] as const]);
    expect(struckOut({ ...admitted(), regions: [REGION] }, all).size).toBe(1);
    expect(struckOut({ ...admitted(), regions: [REGION, "us-1"] }, all).size).toBe(0);
    expect(struckOut({ ...admitted(), regions: ["unheard-of"] }, all).size).toBe(0);
  });

  test("is asked of its own node alone where that is known", ({ expect }) => {
    const hold = after([word(0, "node_lost", { next: call(1, OTHER_NODE) })]);
    const validMs = T0 + 1 + CALL_VALID_MS;
    expect([...struckOut(hold, promises([NODE, 0], [OTHER_NODE, validMs]))]).toEqual([1]);
    expect(struckOut(hold, promises([NODE, 0])).size).toBe(0);
  });

  test("is none that a beat has named, or a Worker has seen answer", ({ expect }) => {
    const all = promises([NODE, Number.MAX_SAFE_INTEGER]);
    for (const message of [renewal(0, 0), receipt(0, "client_gone"), word(0, "node_lost", { seenTo: 1 })])
      expect(struckOut(after([message]), all).size).toBe(0);
  });

  test("is asked about after the lapse, or once its end was told and no call can begin any more", ({
    expect,
  }) => {
    expect(isStrikable(admitted(), LAPSED_MS - 1)).toBe(false);
    expect(isStrikable(admitted(), LAPSED_MS)).toBe(true);
    const retried = after([word(0, "node_lost", { next: call(1, NODE) }), word(1, "node_lost")]);
    expect(isStrikable(retried, T0 + CALL_VALID_MS)).toBe(false);
    expect(isStrikable(retried, T0 + 1 + CALL_VALID_MS)).toBe(true);
    const running = after([renewal(0, 5)], T0);
    expect(isStrikable(running, LAPSED_MS)).toBe(false);
  });
});
