/** Who is asked next when a node says that it cannot do what is asked, and when the client hears of it. */
import { expect, test } from "vitest";
import { busy, content, dead, faultOf, lost, nodes, play, waiting } from "./played.ts";

const cannot = {
  kind: "refused",
  refusal: { kind: "unsupported_parameter", param: "top_k", message: "not here", elsewhere: true },
} as const;
const TOP_K = { kind: "unsupported_parameter", param: "top_k", message: "not here" };

test("an engine that cannot do what is asked is followed by one that can", async () => {
  const { story, walked } = play([cannot, content]);
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "b" } });
  expect(story.said).toMatchObject([{ ordinal: 0, why: "refused", next: { ordinal: 1, node: "b" } }]);
});

test("where no engine can do it, the client hears which field it is", async () => {
  const { story, walked } = play([cannot, cannot, cannot]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.said.at(-1)).toMatchObject({ ordinal: 2, why: "refused", next: null });
});

test("three engines that cannot are believed: the rest of a large fleet does not read the prompt, too", async () => {
  const { story, walked } = play([cannot, cannot, cannot, content], {}, [...nodes, dead]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.asked).toHaveLength(3);
});

test("where one cannot and the others have no room, the client is told to come back", async () => {
  const { walked } = play([cannot, busy, busy]);
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 700 });
});

test("what no engine takes is said at once", async () => {
  const { elsewhere: _, ...refusal } = cannot.refusal;
  const { story, walked } = play([{ kind: "refused", refusal }, content]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.asked).toHaveLength(1);
});

const refused = { kind: "failed", why: "node_failed", ended: "engine_died", refused: true } as const;
const full = { kind: "failed", why: "node_failed", ended: "no_room", retryAfterMs: 400 } as const;

test("what the engines themselves do not take is the request's fault, and none of three is asked in vain again", async () => {
  const { story, walked } = play([refused, refused, refused, content], {}, [...nodes, dead]);
  expect(await faultOf(walked)).toMatchObject({ kind: "invalid_request", param: null });
  expect(story.asked).toHaveLength(3);
  expect(story.said.at(-1)).toMatchObject({
    ordinal: 2,
    why: "node_failed",
    ended: "engine_died",
    next: null,
  });
});

test("where none of three engines can go on with an answer no more are asked, and to the client it broke off", async () => {
  const after = { ordinal: 0, why: "node_failed", ended: "engine_died", node: dead } as const;
  const { story, walked } = play([lost, refused, refused, refused, content], { after }, [...nodes, dead]);
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(story.asked).toHaveLength(3);
});

test("one engine that does not take it is no reason why another should not", async () => {
  expect(await play([refused, content]).walked).toMatchObject({ ordinal: 1 });
});

test("engines that had no room after all are no failures: the client comes back when the soonest has some", async () => {
  const later = { ...full, retryAfterMs: 9_000 };
  expect(await faultOf(play([later, full, later]).walked)).toEqual({ kind: "overloaded", retryAfterMs: 400 });
});

const tooLong = (contextTokens: number) =>
  ({ kind: "refused", refusal: { kind: "prompt_too_long", promptTokens: 3_000, contextTokens } }) as const;

test("a prompt that is too long for one node goes to those with a longer context, and to no others", async () => {
  const contextTokens = ({ id }: { readonly id: string }): number => ({ a: 2_048, b: 2_048 })[id] ?? 4_096;
  const { story, walked } = play([tooLong(2_048), content], { contextTokens });
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "c" } });
  expect(story.asked).toEqual(["a0:100", "c1:100"]);
});

test("where every context is too short, one node has said so for all", async () => {
  const { story, walked } = play([tooLong(2_048)], { contextTokens: () => 2_048 });
  expect(await faultOf(walked)).toEqual({
    kind: "context_exceeded",
    promptTokens: 3_000,
    contextTokens: 2_048,
  });
  expect(story.asked).toHaveLength(1);
});

test("contexts that are too short are not counted against the one that is long enough", async () => {
  const sizes: Record<string, number> = { a: 2_048, b: 4_096, c: 8_192, dead: 32_768 };
  const said = { ...tooLong(2_048).refusal, promptTokens: 10_000 };
  const { story, walked } = play(
    [{ kind: "refused", refusal: said }, content],
    { contextTokens: ({ id }) => sizes[id] },
    [...nodes, dead],
  );
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "dead" } });
  expect(story.asked).toEqual(["a0:100", "dead1:100"]);
});

test("where the longest context there is would be too short it is not asked, and is the one the client hears of", async () => {
  const sizes: Record<string, number> = { a: 4_096, b: 2_048, c: 8_192 };
  const said = { ...tooLong(2_048).refusal, promptTokens: 10_000 };
  const script = [busy, { kind: "refused", refusal: said }] as const;
  const { story, walked } = play(script, { contextTokens: ({ id }) => sizes[id] });
  expect(await faultOf(walked)).toEqual({
    kind: "context_exceeded",
    promptTokens: 10_000,
    contextTokens: 8_192,
  });
  expect(story.asked).toEqual(["a0:100", "b1:100"]);
});

test("nor are those of which nobody knows how long they are before they are asked", async () => {
  const script = [tooLong(1_024), tooLong(2_048), tooLong(2_560), content];
  const { walked } = play(script, {}, [...nodes, dead]);
  expect(await walked).toMatchObject({ ordinal: 3, node: { id: "dead" } });
});

test("a prompt that is too long for every node is no matter of waiting, though some of them are busy or fail", async () => {
  const failed = { kind: "failed", why: "node_failed" } as const;
  const { waitsMs, steps } = waiting(5_900);
  const { story, walked } = play([busy, failed, tooLong(8_192)], { ...steps, contextTokens: () => 8_192 });
  expect(await faultOf(walked)).toMatchObject({ kind: "context_exceeded", contextTokens: 8_192 });
  expect(story.asked).toHaveLength(3);
  expect(waitsMs).toEqual([]);
});

test("where one that is busy has a longer context, it is waited for", async () => {
  const { steps } = waiting(5_900);
  const contextTokens = ({ id }: { readonly id: string }): number => (id === "a" ? 32_768 : 2_048);
  const { walked } = play([busy, tooLong(2_048), content], { ...steps, contextTokens });
  expect(await walked).toMatchObject({ ordinal: 2, node: { id: "a" } });
});

test("a node that was busy and then says that it cannot is left alone, and the other busy one answers", async () => {
  const soon = { ...busy, refusal: { kind: "queue_full", retryAfterMs: 300 } } as const;
  const { steps } = waiting(5_900);
  const { story, walked } = play([soon, busy, cannot, content], steps, nodes.slice(0, 2));
  expect(await walked).toMatchObject({ ordinal: 3, node: { id: "b" } });
  expect(story.asked).toEqual(["a0:100", "b1:100", "a2:100", "b3:100"]);
});

test("a node that was busy, took it and had no room after all is asked again when it expects some", async () => {
  const { waitsMs, steps } = waiting(5_900);
  const soon = { ...busy, refusal: { kind: "queue_full", retryAfterMs: 300 } } as const;
  const { walked } = play([soon, full, content], steps, nodes.slice(0, 1));
  expect(await walked).toMatchObject({ ordinal: 2, node: { id: "a" } });
  expect(waitsMs.slice(0, 2)).toEqual([300, 400]);
});

test("where all who were busy say at last that they cannot, the client hears that, and not to come back", async () => {
  const { steps } = waiting(60_000);
  const { walked } = play([busy, busy, cannot, cannot], { ...steps, issueByMs: 60_000 }, nodes.slice(0, 2));
  expect(await faultOf(walked)).toEqual(TOP_K);
});

test("an engine that takes it not, for no reason it gives, hides none that another gave", async () => {
  const { walked } = play([tooLong(2_048), refused], {}, nodes.slice(0, 2));
  expect(await faultOf(walked)).toMatchObject({ kind: "context_exceeded" });
});

test("an answer that goes on nowhere, because it is too long for those that are left, broke off", async () => {
  const after = { ordinal: 0, why: "node_lost", node: dead } as const;
  const { walked } = play([lost, lost, tooLong(8_192)], { after, contextTokens: () => 8_192 });
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
});
