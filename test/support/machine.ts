/** A machine that speaks the node protocol over the wire, and has no engine: it joins, it beats, and others answer at its URL. */
import { BEAT_PATH, NODE_HEADER, SIGNATURE_HEADER, type Beat } from "@sluice/protocol/beat";
import { toBase64Url } from "@sluice/protocol/bytes";
import { ENROL_PATH, EnrolAnswer } from "@sluice/protocol/enrol";
import { ulid } from "@sluice/protocol/ids";
import { signText, type Domain } from "@sluice/protocol/sign";

export type JoinedMachine = {
  readonly id: string;
  /** Says that it is ready, and serves this model. */
  beat(model: string): Promise<void>;
};

export async function joinMachine(edgeUrl: string, joinToken: string): Promise<JoinedMachine> {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as {
    readonly publicKey: CryptoKey;
    readonly privateKey: CryptoKey;
  };
  const publicKey = toBase64Url(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));

  async function post(path: string, domain: Domain, message: object, headers: Record<string, string> = {}) {
    const body = JSON.stringify(message);
    const signature = await signText(pair.privateKey, domain, body);
    const response = await fetch(edgeUrl + path, {
      method: "POST",
      body,
      headers: { [SIGNATURE_HEADER]: signature, ...headers },
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text) as unknown;
  }

  const ask = { speaks: { min: 1, max: 1 }, joinToken, publicKey };
  const { node: id, callKeys } = EnrolAnswer.parse(await post(ENROL_PATH, "sluice-enrol", ask));
  const boot = `boot_${ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)))}`;
  let seq = 0;
  return {
    id,
    async beat(model) {
      const beat: Beat = {
        v: 1,
        speaks: { min: 1, max: 1 },
        node: id,
        boot,
        seq: ++seq,
        sentAtMs: Date.now(),
        state: "ready",
        models: [{ id: model, weights: "w", contextTokens: 2_048, features: ["probe"] }],
        load: {
          slots: 2,
          slotsBusy: 0,
          queued: 0,
          queueMax: 8,
          prefillTokensPending: 0,
          prefillTokensPerS: 0,
          decodeTokensPerS: 0,
          kvTokensFree: 4_096,
        },
        receipts: [],
        renew: [],
        completeThroughMs: 0,
        journalSinceMs: 0,
        callKeyIds: callKeys.map((key) => key.id),
      };
      await post(BEAT_PATH, "sluice-beat", beat, { [NODE_HEADER]: id });
    },
  };
}
