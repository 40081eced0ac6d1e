/**
 * Enrolment: how a machine becomes a node. An admin makes a one-time join token that already names the node's URL and
 * region (nothing a node or a client says ever picks a host); the machine makes its key pair, shows the token and its
 * public key, and gets its id and its call keys. POST `/node/v1/enrol`, over https unless on loopback.
 *
 * The signature over the body proves that the sender holds the private key. Enrolling again with the same token and
 * the same public key gives the same answer: a reply that was lost costs nothing.
 */
import { z } from "zod";
import { NodeId, Region, SecretId } from "./ids.ts";
import { Version, VersionRange } from "./version.ts";

export const ENROL_PATH = "/node/v1/enrol";

export const EnrolAsk = z.object({
  speaks: VersionRange,
  joinToken: z.string().min(20).max(200),
  /** Ed25519, 32 bytes, base64url. */
  publicKey: z.string().length(43),
});
export type EnrolAsk = z.infer<typeof EnrolAsk>;

/** 32 bytes each, base64url: what calls to this node are authenticated with, newest first. */
export const CallKeyList = z
  .array(z.object({ id: SecretId, key: z.string().length(43) }))
  .min(1)
  .max(2);
export type CallKeyList = z.infer<typeof CallKeyList>;

export const EnrolAnswer = z.object({
  v: Version,
  node: NodeId,
  region: Region,
  edgeTimeMs: z.int().min(0),
  callKeys: CallKeyList,
});
export type EnrolAnswer = z.infer<typeof EnrolAnswer>;
