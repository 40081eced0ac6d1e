/**
 * Enrolment: shows the join token and the public key to the edge until it answers. An edge that is away is waited for,
 * with growing pauses; an edge that says no is believed, and the reason is told. The same token with the same key gives
 * the same answer, so a lost reply costs nothing but a repetition.
 */
import { EnrolAnswer, ENROL_PATH, type EnrolAsk } from "@sluice/protocol/enrol";
import { SIGNATURE_HEADER } from "@sluice/protocol/beat";
import { signText } from "@sluice/protocol/sign";
import { SPOKEN } from "@sluice/protocol/version";
import type { Config } from "../config.ts";
import { errorFields, type Log } from "../log.ts";
import {
  hashToken,
  importPrivateKey,
  loadStored,
  makeKeys,
  saveStored,
  type Enrolled,
  type Stored,
} from "./identity.ts";

const TIMEOUT_MS = 10_000;
const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 15_000;
const REASON_CHARS_MAX = 300;

/** The edge said no, or there is nothing to show it. */
class NotEnrolled extends Error {
  override readonly name = "NotEnrolled";
}

type Edge = NonNullable<Config["edge"]>;

/** The stored identity where it fits, else a new one from the edge. Rejects with NotEnrolled, or the signal's reason. */
export async function ensureEnrolled(
  edge: Edge,
  dataDir: string,
  log: Log,
  signal: AbortSignal,
): Promise<Stored & { readonly enrolled: Enrolled }> {
  const stored = (await loadStored(dataDir)) ?? makeKeys();
  const known = stored.enrolled;
  const tokenIsNew = edge.joinToken !== undefined && hashToken(edge.joinToken) !== known?.joinTokenSha256;
  if (known !== undefined && !tokenIsNew) return { ...stored, enrolled: known };
  if (edge.joinToken === undefined)
    throw new NotEnrolled(
      "this data directory has no identity yet: give the join token (--join or SLUICE_JOIN)",
    );
  // Saved before it is shown: an answer must find the key it was given to.
  await saveStored(dataDir, stored);
  const enrolled = await ask(edge.url, edge.joinToken, stored, { log, signal });
  const whole = { ...stored, enrolled };
  await saveStored(dataDir, whole);
  log("enrolled", { node: enrolled.node, region: enrolled.region });
  return whole;
}

async function ask(
  edge: URL,
  joinToken: string,
  stored: Stored,
  { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
): Promise<Enrolled> {
  const body = JSON.stringify({ speaks: SPOKEN, joinToken, publicKey: stored.publicKey } satisfies EnrolAsk);
  const signature = await signText(await importPrivateKey(stored.privateKey), "sluice-enrol", body);
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(PAUSE_MAX_MS, pauseMs * 2)) {
    signal.throwIfAborted();
    try {
      const response = await fetch(new URL(ENROL_PATH, edge), {
        method: "POST",
        headers: { "content-type": "application/json", [SIGNATURE_HEADER]: signature },
        body,
        redirect: "error",
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      const text = await response.text();
      if (response.ok) {
        const answer = EnrolAnswer.parse(JSON.parse(text));
        const joinTokenSha256 = hashToken(joinToken);
        const { node, region, callKeys } = answer;
        return { node, region, callKeys, edge: edge.origin, joinTokenSha256 };
      }
      const reason = text.slice(0, REASON_CHARS_MAX);
      if (response.status < 500 && response.status !== 429 && response.status !== 408)
        throw new NotEnrolled(`the edge refused to enrol this node (${response.status}): ${reason}`);
      log("enrol_retry", { status: response.status, pauseMs });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof NotEnrolled) throw error;
      log("enrol_retry", { ...errorFields(error), pauseMs });
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
