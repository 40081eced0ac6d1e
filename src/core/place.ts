/** Who may be asked to answer a request: a node, or an upstream. To most of a request's way they are alike. */
import type { LiveNode } from "./node.ts";
import type { Upstream } from "./upstream.ts";

export type Place = LiveNode | Upstream;

export function isUpstream(place: Place): place is Upstream {
  return "kind" in place;
}
