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
  /** Which prompts' beginnings it has cached; absent where it has not said. */
  readonly sketch?: Sketch | undefined;
};
