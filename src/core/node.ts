/**
 * A node as the edge knows it: the registry's record (who it is and where, decided by an admin) and what its beats say.
 */
import type { Load, ServedModel } from "@sluice/protocol/beat";
import type { Sketch } from "@sluice/protocol/sketch";
import type { VersionRange } from "@sluice/protocol/version";

export type NodeRecord = {
  readonly id: string;
  readonly region: string;
  /** Where it is reached. Only an admin sets this. */
  readonly url: string;
  /** Ed25519, base64url. */
  readonly publicKey: string;
};

/** Whether a model of a node was seen to make tokens: by a client's receipt, or by a probe. */
export type ModelProof = {
  /** The last token known of; null: none since its process started. */
  readonly provenAtMs: number | null;
  /** Present while its last probe, or more of them, failed. */
  readonly failing?: { readonly sinceMs: number; readonly probes: number; readonly why: string } | undefined;
};

/** A registered node with its newest beat. */
export type LiveNode = NodeRecord & {
  readonly boot: string;
  readonly state: "loading" | "ready" | "draining";
  readonly models: readonly ServedModel[];
  readonly load: Load;
  readonly speaks: VersionRange;
  /** The ids of the call keys it holds. */
  readonly callKeyIds: readonly string[];
  /** By the edge's clock. */
  readonly beatAtMs: number;
  /** By which moment the newest beat is judged late, where that is not now: when the snapshot was taken. */
  readonly asOfMs?: number | undefined;
  /** By model, what is known of its making tokens, beyond its beats; absent where nothing is. */
  readonly proofs?: Readonly<Record<string, ModelProof>> | undefined;
  /** Which prompts' beginnings it has cached; absent where it has not said. */
  readonly sketch?: Sketch | undefined;
};
